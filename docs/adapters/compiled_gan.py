"""torch.compile: both networks compiled, as they are called."""

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer

torch.manual_seed(0)
G = torch.compile(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)))
D = torch.compile(nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)))
opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
balance = Balancer(["dynamic_lambda", "d_lr_ratio", "d_skip"], optimizers={"d": opt_d, "g": opt_g},  # balancer
                   obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, log_dir="runs/mine")  # balancer
d_losses = []

for _ in range(60):
    balance.start_step()  # balancer
    real, fake = torch.randn(16, 2) + 2, G(torch.randn(16, 4))
    train_d = True
    train_d = balance.d_update  # balancer
    with torch.set_grad_enabled(train_d):
        real_logits, fake_logits = D(real), D(fake.detach())
        d_loss = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
    if train_d:
        opt_d.zero_grad()
        d_loss.backward()
        opt_d.step()
    d_losses.append(d_loss.item())
    balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer

    adv = F.softplus(-D(fake)).mean()
    adv = balance.lambda_adv * adv  # balancer
    opt_g.zero_grad()
    adv.backward()
    opt_g.step()
balance.end_run()  # balancer
