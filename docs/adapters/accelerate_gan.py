"""accelerate: prepared networks and optimizers, two micro-batches for each update."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer

accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
torch.manual_seed(0)
G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
opt_d = torch.optim.Adam(D.parameters(), lr=1e-3, betas=(0.5, 0.999))
data = torch.utils.data.TensorDataset(torch.randn(320, 2) + 2)
loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True)
G, D, opt_g, opt_d, loader = accelerator.prepare(G, D, opt_g, opt_d, loader)
balance = Balancer(["dynamic_lambda", "d_lr_ratio", "d_skip"], optimizers={"d": opt_d, "g": opt_g},  # balancer
                   obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, log_dir="runs/mine")  # balancer
d_losses = []

for _ in range(2):
    for (real,) in loader:
        with accelerator.accumulate(G, D):
            balance.start_step()  # balancer
            fake = G(torch.randn(len(real), 4))
            train_d = True
            train_d = balance.d_update  # balancer
            with torch.set_grad_enabled(train_d):
                real_logits, fake_logits = D(real), D(fake.detach())
                d_loss = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
            if train_d:
                accelerator.backward(d_loss)
                opt_d.step()
                opt_d.zero_grad()
            d_losses.append(d_loss.item())
            balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer

            D.requires_grad_(False)  # or D's next micro-batch would find G's gradients
            adv = F.softplus(-D(fake)).mean()
            adv = balance.lambda_adv * adv  # balancer
            accelerator.backward(adv)
            opt_g.step()
            opt_g.zero_grad()
            D.requires_grad_(True)
balance.end_run()  # balancer
