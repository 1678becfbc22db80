"""Several updates of D to one of G (n_critic): WGAN, SN-GAN, BigGAN; here with the hinge loss of the last two."""

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer

torch.manual_seed(0)
G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
balance = Balancer(["dynamic_lambda", "d_skip"], adversarial="hinge", optimizers={"d": opt_d, "g": opt_g},  # balancer
                   obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, log_dir="runs/mine")  # balancer
d_losses = []
N_CRITIC = 5

for _ in range(60):
    balance.start_step()  # balancer
    for _ in range(N_CRITIC):
        real, fake = torch.randn(16, 2) + 2, G(torch.randn(16, 4)).detach()
        real_logits, fake_logits = D(real), D(fake)
        d_loss = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        opt_d.zero_grad()
        d_loss.backward()
        balance.d_update or opt_d.zero_grad()  # balancer
        opt_d.step()
        d_losses.append(d_loss.item())
        balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer

    adv = -D(G(torch.randn(16, 4))).mean()
    adv = balance.lambda_adv * adv  # balancer
    opt_g.zero_grad()
    adv.backward()
    opt_g.step()
balance.end_run()  # balancer
