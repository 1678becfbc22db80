"""Mixed precision as PyTorch's notes have it: a scaler for each network, unscaled and clipped before the step."""

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer

torch.manual_seed(10)
netG = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh())
netD = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
optG = torch.optim.AdamW(netG.parameters(), lr=1e-3)
optD = torch.optim.AdamW(netD.parameters(), lr=1e-3)
scalerG, scalerD = (torch.amp.GradScaler("cpu", init_scale=scale) for scale in (2.0**20, 2.0**22))
d_every = 1
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optD, "g": optG},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"})  # balancer  # fmt: skip

for i in range(20):
    balance.start_step()  # balancer
    real, z = torch.rand(8, 16) * 2 - 1, torch.randn(8, 6)
    optD.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.float16):
        fake = netG(z)
        pred_real, pred_fake = netD(real), netD(fake.detach())
    lossD = (F.softplus(-pred_real.float()).mean() + F.softplus(pred_fake.float()).mean()) / 2
    step_d = i % d_every == 0
    step_d = balance.d_update  # balancer
    if step_d:
        scalerD.scale(lossD).backward()
        scalerD.unscale_(optD)
        nn.utils.clip_grad_norm_(netD.parameters(), 1.0)
        scalerD.step(optD)
        scalerD.update()
    balance.after_d_step(real_logits=pred_real, fake_logits=pred_fake)  # balancer
    losses_d.append(lossD.item())

    optG.zero_grad(set_to_none=True)
    with torch.autocast("cpu", dtype=torch.float16):
        pred_fake = netD(fake)
    lossG = F.softplus(-pred_fake.float()).mean()
    lossG = balance.lambda_adv * lossG  # balancer
    scalerG.scale(lossG).backward()
    scalerG.unscale_(optG)
    nn.utils.clip_grad_norm_(netG.parameters(), 1.0)
    scalerG.step(optG)
    scalerG.update()
balance.end_run()  # balancer
