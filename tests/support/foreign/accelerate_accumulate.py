"""In the order of accelerate's scripts: prepared parts, micro-batches within `accumulate`, D and G in each."""

import torch
from accelerate import Accelerator
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer

torch.manual_seed(8)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
generator = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh())
discriminator = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
gen_optimizer = torch.optim.AdamW(generator.parameters(), lr=1e-3)
disc_optimizer = torch.optim.AdamW(discriminator.parameters(), lr=1e-3)
lr_scheduler = torch.optim.lr_scheduler.ExponentialLR(disc_optimizer, 0.98)
generator, discriminator, gen_optimizer, disc_optimizer, lr_scheduler = accelerator.prepare(
    generator, discriminator, gen_optimizer, disc_optimizer, lr_scheduler
)
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": disc_optimizer, "g": gen_optimizer},  # balancer
    supplies={"d_adv"}, obeys={"lambda_adv", "d_update", "lr_d"})  # balancer  # fmt: skip

for _ in range(24):
    with accelerator.accumulate(generator, discriminator):
        balance.start_step()  # balancer
        images, noise = torch.rand(4, 16) * 2 - 1, torch.randn(4, 6)
        fake = generator(noise)
        real_logits, fake_logits = discriminator(images), discriminator(fake.detach())
        disc_loss = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
        accelerator.backward(disc_loss)
        balance.d_update or disc_optimizer.optimizer.zero_grad()  # balancer
        disc_optimizer.step()
        lr_scheduler.step()
        disc_optimizer.zero_grad()
        balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer
        losses_d.append(disc_loss.item())

        discriminator.requires_grad_(False)
        gen_loss = F.softplus(-discriminator(fake)).mean()
        gen_loss = balance.lambda_adv * gen_loss  # balancer
        accelerator.backward(gen_loss)
        gen_optimizer.step()
        gen_optimizer.zero_grad()
        discriminator.requires_grad_(True)
balance.end_run()  # balancer
