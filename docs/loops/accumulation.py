"""Gradient accumulation: the gradients of several micro-batches gather for one update of each network."""

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer

torch.manual_seed(0)
G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
balance = Balancer(["dynamic_lambda", "d_lr_ratio", "d_skip"], optimizers={"d": opt_d, "g": opt_g},  # balancer
                   obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, log_dir="runs/mine")  # balancer
d_losses = []
MICRO_BATCHES = 2

for i in range(120):
    balance.start_step()  # balancer
    real, fake = torch.randn(8, 2) + 2, G(torch.randn(8, 4))

    real_logits, fake_logits = D(real), D(fake.detach())
    d_loss = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
    (d_loss / MICRO_BATCHES).backward()
    d_losses.append(d_loss.item())
    balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer

    D.requires_grad_(False)
    adv = F.softplus(-D(fake)).mean()
    adv = balance.lambda_adv * adv  # balancer
    (adv / MICRO_BATCHES).backward()
    D.requires_grad_(True)

    if (i + 1) % MICRO_BATCHES == 0:
        balance.d_update or opt_d.zero_grad()  # balancer
        for opt in (opt_d, opt_g):
            opt.step()
            opt.zero_grad()
balance.end_run()  # balancer
