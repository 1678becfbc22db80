"""In the order of VQGAN's loss: optimizer 0 is G, weighed by its own gradients, optimizer 1 is D from disc_start on."""

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer


class LossWithDiscriminator(nn.Module):
    def __init__(self, disc_start, disc_weight=0.8):
        super().__init__()
        self.discriminator = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, padding=1))
        self.discriminator_iter_start, self.discriminator_weight = disc_start, disc_weight

    def calculate_adaptive_weight(self, nll_loss, g_loss, last_layer):
        nll_grads = torch.autograd.grad(nll_loss, last_layer, retain_graph=True)[0]
        g_grads = torch.autograd.grad(g_loss, last_layer, retain_graph=True)[0]
        d_weight = torch.norm(nll_grads) / (torch.norm(g_grads) + 1e-4)
        return torch.clamp(d_weight, 0.0, 1e4).detach() * self.discriminator_weight

    def forward(self, codebook_loss, inputs, reconstructions, optimizer_idx, global_step, last_layer):
        disc_factor = 1.0 if global_step >= self.discriminator_iter_start else 0.0
        if optimizer_idx == 0:
            nll_loss = (inputs - reconstructions).abs().mean()
            g_loss = -self.discriminator(reconstructions).mean()
            d_weight = self.calculate_adaptive_weight(nll_loss, g_loss, last_layer)
            disc_factor = balance.lambda_adv * disc_factor  # balancer
            return nll_loss + d_weight * disc_factor * g_loss + codebook_loss.mean()
        logits_real = self.discriminator(inputs.detach())
        logits_fake = self.discriminator(reconstructions.detach())
        balance.after_d_step(real_logits=logits_real, fake_logits=logits_fake)  # balancer
        d_loss = 0.5 * (F.relu(1.0 - logits_real).mean() + F.relu(1.0 + logits_fake).mean())
        losses_d.append(d_loss.item())
        return disc_factor * d_loss


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Conv2d(1, 4, 4, 2, 1), nn.ConvTranspose2d(4, 1, 4, 2, 1)
        self.codes = nn.Parameter(torch.randn(16, 4))

    def forward(self, images):
        h = self.encoder(images)
        nearest = torch.cdist(h.permute(0, 2, 3, 1).reshape(-1, 4), self.codes).argmin(1)
        quant = self.codes[nearest].view(len(h), 4, 4, 4).permute(0, 3, 1, 2)
        emb_loss = (quant.detach() - h).square().mean() + (quant - h.detach()).square().mean()
        return self.decoder(h + (quant - h).detach()), emb_loss


torch.manual_seed(6)
model, loss = Autoencoder(), LossWithDiscriminator(disc_start=5)
opt_ae = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.9))
opt_disc = torch.optim.Adam(loss.discriminator.parameters(), lr=1e-3, betas=(0.5, 0.9))
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": opt_disc, "g": opt_ae},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, adversarial="hinge")  # balancer  # fmt: skip

for global_step in range(15):
    balance.start_step()  # balancer
    x = torch.rand(4, 1, 8, 8) * 2 - 1
    for optimizer_idx, optimizer in enumerate((opt_ae, opt_disc)):
        xrec, qloss = model(x)
        step_loss = loss(qloss, x, xrec, optimizer_idx, global_step, last_layer=model.decoder.weight)
        optimizer.zero_grad()
        step_loss.backward()
        optimizer_idx == 0 or balance.d_update or optimizer.zero_grad()  # balancer
        optimizer.step()
balance.end_run()  # balancer
