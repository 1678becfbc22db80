"""Plain DistributedDataParallel: each rank has its own batches, both networks are wrapped."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel as DDP

from balancer import Balancer  # balancer

torch.manual_seed(9)
rank = dist.get_rank()
netG = DDP(nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh()))
netD = DDP(nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)), broadcast_buffers=False)
optimizerG = torch.optim.Adam(netG.parameters(), lr=1e-3, betas=(0.5, 0.999))
optimizerD = torch.optim.Adam(netD.parameters(), lr=1e-3, betas=(0.5, 0.999))
torch.manual_seed(100 + rank)
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optimizerD, "g": optimizerG},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"})  # balancer  # fmt: skip

for _ in range(12):
    balance.start_step()  # balancer
    real, fake = torch.rand(8, 16) * 2 - 1, netG(torch.randn(8, 6))
    optimizerD.zero_grad()
    logits = netD(torch.cat([real, fake.detach()]))
    loss_D = 0.5 * (F.softplus(-logits[:8]).mean() + F.softplus(logits[8:]).mean())
    loss_D.backward()
    balance.d_update or optimizerD.zero_grad()  # balancer
    optimizerD.step()
    balance.after_d_step(real_logits=logits[:8], fake_logits=logits[8:])  # balancer
    losses_d.append(loss_D.item())

    optimizerG.zero_grad()
    loss_G = F.softplus(-netD(fake)).mean()
    loss_G = balance.lambda_adv * loss_G  # balancer
    loss_G.backward()
    optimizerG.step()
balance.end_run()  # balancer
