"""In the order of zi2zi's ports to PyTorch: D, then G, then G once more for the same batch."""

import torch
from torch import nn

from balancer import Balancer  # balancer


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Flatten())
        self.binary, self.category = nn.Linear(128, 1), nn.Linear(128, 3)

    def forward(self, images):
        features = self.body(images)
        return self.binary(features), self.category(features)


class Model:
    def __init__(self):
        self.netG = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 1, 1))
        self.netD = Discriminator()
        self.optimizer_G = torch.optim.Adam(self.netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.optimizer_D = torch.optim.Adam(self.netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
        self.bce, self.ce, self.l1 = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss(), nn.L1Loss()

    def set_input(self, labels, real_A, real_B):
        self.labels, self.real_A, self.real_B = labels, real_A, real_B

    def forward(self):
        self.fake_B = self.netG(self.real_A)

    def backward_D(self):
        real_D_logits, real_category_logits = self.netD(torch.cat([self.real_A, self.real_B], 1))
        fake_D_logits, fake_category_logits = self.netD(torch.cat([self.real_A, self.fake_B.detach()], 1))
        category_loss = self.ce(real_category_logits, self.labels) + self.ce(fake_category_logits, self.labels)
        d_loss_real = self.bce(real_D_logits, torch.ones_like(real_D_logits))
        d_loss_fake = self.bce(fake_D_logits, torch.zeros_like(fake_D_logits))
        (d_loss_real + d_loss_fake + 0.5 * category_loss).backward()
        balance.after_d_step(real_logits=real_D_logits, fake_logits=fake_D_logits)  # balancer
        return (d_loss_real + d_loss_fake).item()

    def backward_G(self):
        fake_D_logits, fake_category_logits = self.netD(torch.cat([self.real_A, self.fake_B], 1))
        cheat_loss = self.bce(fake_D_logits, torch.ones_like(fake_D_logits))
        cheat_loss = balance.lambda_adv * cheat_loss  # balancer
        l1_loss = 100 * self.l1(self.fake_B, self.real_B)
        (cheat_loss + l1_loss + self.ce(fake_category_logits, self.labels)).backward()

    def optimize_parameters(self):
        self.forward()
        self.netD.requires_grad_(True)
        self.optimizer_D.zero_grad()
        losses_d.append(self.backward_D())
        balance.d_update or self.optimizer_D.zero_grad()  # balancer
        self.optimizer_D.step()
        self.netD.requires_grad_(False)
        for _ in range(2):  # G twice, or D's loss goes to zero
            self.optimizer_G.zero_grad()
            self.backward_G()
            self.optimizer_G.step()
            self.forward()


torch.manual_seed(0)
losses_d = []
model = Model()
netG, netD, optimizerG, optimizerD = model.netG, model.netD, model.optimizer_G, model.optimizer_D
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optimizerD, "g": optimizerG},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"})  # balancer  # fmt: skip
for _ in range(12):
    balance.start_step()  # balancer
    source = torch.rand(4, 1, 8, 8) * 2 - 1
    model.set_input(torch.randint(3, (4,)), source, -source)
    model.optimize_parameters()
balance.end_run()  # balancer
