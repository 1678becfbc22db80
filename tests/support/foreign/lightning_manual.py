"""In the order of Lightning's manual optimisation: wrapped optimizers, toggled one after the other, G first."""

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer


class LightningOptimizer:
    """What `self.optimizers()` hands out: it runs the step within a closure of its own."""

    def __init__(self, optimizer):
        self._optimizer = optimizer

    @property
    def optimizer(self):
        return self._optimizer

    def zero_grad(self):
        self._optimizer.zero_grad()

    def step(self, closure=lambda: None):
        return self._optimizer.step(closure)


class GAN(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh())
        self.discriminator = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def adversarial_loss(self, y_hat, y):
        return F.binary_cross_entropy_with_logits(y_hat, y)

    def configure_optimizers(self):
        opt_g = torch.optim.Adam(self.generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        opt_d = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        self._optimizers = [LightningOptimizer(opt_g), LightningOptimizer(opt_d)]
        return opt_g, opt_d

    def toggle_optimizer(self, optimizer):
        mine = {id(p) for group in optimizer.optimizer.param_groups for p in group["params"]}
        for p in self.parameters():
            p.requires_grad_(id(p) in mine)

    def untoggle_optimizer(self):
        self.requires_grad_(True)

    def training_step(self, imgs):
        optimizer_g, optimizer_d = self._optimizers
        z = torch.randn(imgs.shape[0], 6)
        valid, fake = torch.ones(imgs.size(0), 1), torch.zeros(imgs.size(0), 1)

        self.toggle_optimizer(optimizer_g)
        self.generated_imgs = self.generator(z)
        g_loss = self.adversarial_loss(self.discriminator(self.generated_imgs), valid)
        g_loss = balance.lambda_adv * g_loss  # balancer
        g_loss.backward()
        optimizer_g.step()
        optimizer_g.zero_grad()
        self.untoggle_optimizer()

        self.toggle_optimizer(optimizer_d)
        real_logits, fake_logits = self.discriminator(imgs), self.discriminator(self.generated_imgs.detach())
        d_loss = (self.adversarial_loss(real_logits, valid) + self.adversarial_loss(fake_logits, fake)) / 2
        d_loss.backward()
        balance.d_update or optimizer_d.zero_grad()  # balancer
        optimizer_d.step()
        optimizer_d.zero_grad()
        balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer
        self.untoggle_optimizer()
        losses_d.append(d_loss.item())


torch.manual_seed(7)
model = GAN()
opt_g, opt_d = model.configure_optimizers()
optim_g, optim_d = model._optimizers
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optim_d, "g": optim_g},  # balancer
    supplies={"d_adv"}, obeys={"lambda_adv", "d_update", "lr_d"})  # balancer  # fmt: skip
for _ in range(15):
    balance.start_step()  # balancer
    model.training_step(torch.rand(8, 16) * 2 - 1)
balance.end_run()  # balancer
