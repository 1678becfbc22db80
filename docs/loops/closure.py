"""Closures: an optimizer calls for its own loss, as automatic optimisation and LBFGS have it."""

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
D_EVERY = 1


def d_closure():
    opt_d.zero_grad()
    real_logits, fake_logits = D(real), D(fake.detach())
    d_loss = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
    d_loss.backward()
    d_losses.append(d_loss.item())
    balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer
    return d_loss


def g_closure():
    opt_g.zero_grad()
    adv = F.softplus(-D(fake)).mean()
    adv = balance.lambda_adv * adv  # balancer
    adv.backward()
    return adv


for step in range(60):
    balance.start_step()  # balancer
    real, fake = torch.randn(16, 2) + 2, G(torch.randn(16, 4))
    train_d = step % D_EVERY == 0
    train_d = train_d and balance.d_update  # balancer
    if train_d:
        opt_d.step(d_closure)
    opt_g.step(g_closure)
balance.end_run()  # balancer
