"""In the order of PyTorch-GAN's pix2pix: G with a weighted pixel loss, then a patch D with least squares."""

import torch
from torch import nn

from balancer import Balancer  # balancer

torch.manual_seed(3)
criterion_GAN, criterion_pixelwise = nn.MSELoss(), nn.L1Loss()
lambda_pixel = 100
generator = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.InstanceNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1))
discriminator = nn.Sequential(nn.Conv2d(2, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, padding=1))
optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optimizer_D, "g": optimizer_G},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, adversarial="lsgan")  # balancer  # fmt: skip

for _ in range(12):
    balance.start_step()  # balancer
    real_A = torch.rand(4, 1, 8, 8) * 2 - 1
    real_B = -real_A
    valid, fake = torch.ones(4, 1, 4, 4), torch.zeros(4, 1, 4, 4)

    optimizer_G.zero_grad()
    fake_B = generator(real_A)
    pred_fake = discriminator(torch.cat((fake_B, real_A), 1))
    loss_GAN = criterion_GAN(pred_fake, valid)
    loss_GAN = balance.lambda_adv * loss_GAN  # balancer
    loss_pixel = criterion_pixelwise(fake_B, real_B)
    loss_G = loss_GAN + lambda_pixel * loss_pixel
    loss_G.backward()
    optimizer_G.step()

    optimizer_D.zero_grad()
    pred_real = discriminator(torch.cat((real_B, real_A), 1))
    loss_real = criterion_GAN(pred_real, valid)
    pred_fake = discriminator(torch.cat((fake_B.detach(), real_A), 1))
    loss_fake = criterion_GAN(pred_fake, fake)
    loss_D = 0.5 * (loss_real + loss_fake)
    loss_D.backward()
    balance.d_update or optimizer_D.zero_grad()  # balancer
    optimizer_D.step()
    balance.after_d_step(real_logits=pred_real, fake_logits=pred_fake)  # balancer
    losses_d.append(loss_D.item())
balance.end_run()  # balancer
