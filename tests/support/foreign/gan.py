"""In the order of PyTorch-GAN's first script: G, then D, both on the batch that G drew."""

import torch
from torch import nn

from balancer import Balancer  # balancer

torch.manual_seed(1)
adversarial_loss = nn.BCEWithLogitsLoss()
generator = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16, 0.8), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh())
discriminator = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optimizer_D, "g": optimizer_G},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"})  # balancer  # fmt: skip

for epoch in range(3):
    for _ in range(5):
        balance.start_step(epoch=epoch)  # balancer
        real_imgs = torch.rand(8, 16) * 2 - 1
        valid, fake = torch.ones(8, 1), torch.zeros(8, 1)

        optimizer_G.zero_grad()
        z = torch.randn(8, 6)
        gen_imgs = generator(z)
        g_loss = adversarial_loss(discriminator(gen_imgs), valid)
        g_loss = balance.lambda_adv * g_loss  # balancer
        g_loss.backward()
        optimizer_G.step()

        optimizer_D.zero_grad()
        real_pred, fake_pred = discriminator(real_imgs), discriminator(gen_imgs.detach())
        real_loss = adversarial_loss(real_pred, valid)
        fake_loss = adversarial_loss(fake_pred, fake)
        d_loss = (real_loss + fake_loss) / 2
        d_loss.backward()
        balance.d_update or optimizer_D.zero_grad()  # balancer
        optimizer_D.step()
        balance.after_d_step(real_logits=real_pred, fake_logits=fake_pred)  # balancer
        losses_d.append(d_loss.item())
balance.end_run()  # balancer
