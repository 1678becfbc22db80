"""Two discriminators with an optimizer each: one sees the points, the other their squares."""

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer

torch.manual_seed(0)
G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
D = nn.ModuleList(nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)) for _ in range(2))
opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
opts_d = [torch.optim.Adam(d.parameters(), lr=1e-3, betas=(0.5, 0.999)) for d in D]
balance = Balancer(["dynamic_lambda", "d_lr_ratio", "d_skip"], optimizers={"d": opts_d, "g": opt_g},  # balancer
                   obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, log_dir="runs/mine")  # balancer
d_losses = []


def logits(points):
    return [D[0](points), D[1](points.square())]


def d_loss_of(real, fake):
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


for _ in range(60):
    balance.start_step()  # balancer
    real, fake = torch.randn(16, 2) + 2, G(torch.randn(16, 4))

    real_logits, fake_logits = logits(real), logits(fake.detach())
    d_loss = sum(map(d_loss_of, real_logits, fake_logits)) / 2
    for opt in opts_d:
        opt.zero_grad()
    d_loss.backward()
    for opt in opts_d:
        balance.d_update or opt.zero_grad()  # balancer
        opt.step()
    d_losses.append(d_loss.item())
    balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer

    adv = sum(F.softplus(-one).mean() for one in logits(fake)) / 2
    adv = balance.lambda_adv * adv  # balancer
    opt_g.zero_grad()
    adv.backward()
    opt_g.step()
balance.end_run()  # balancer
