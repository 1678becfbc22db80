"""In the order of PyTorch-GAN's ESRGAN: pixels alone at first, then G against D's opinion of pairs, then D."""

import torch
from torch import nn

from balancer import Balancer  # balancer

torch.manual_seed(4)
criterion_GAN, criterion_content, criterion_pixel = nn.BCEWithLogitsLoss(), nn.L1Loss(), nn.L1Loss()
ADVERSARIAL = "bce"
warmup_batches, lambda_adv, lambda_pixel = 4, 5e-3, 1e-2
relative = ADVERSARIAL == "relativistic_average"
generator = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2), nn.Conv2d(8, 1, 1))
discriminator = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 3, padding=1))
feature_extractor = nn.Conv2d(1, 4, 3, padding=1).eval().requires_grad_(False)
optimizer_G = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.9, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=1e-3, betas=(0.9, 0.999))
losses_d = []
balance = Balancer(["d_skip"], base={"lambda_adv": 5e-3}, optimizers={"d": optimizer_D, "g": optimizer_G},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, adversarial=ADVERSARIAL)  # balancer  # fmt: skip

for batches_done in range(16):
    balance.start_step()  # balancer
    imgs_lr = torch.rand(4, 1, 4, 4)
    imgs_hr = torch.nn.functional.interpolate(imgs_lr, scale_factor=2)
    valid, fake = torch.ones(4, 1, 4, 4), torch.zeros(4, 1, 4, 4)

    optimizer_G.zero_grad()
    gen_hr = generator(imgs_lr)
    loss_pixel = criterion_pixel(gen_hr, imgs_hr)
    if batches_done < warmup_batches:
        loss_pixel.backward()
        optimizer_G.step()
        continue

    pred_real, pred_fake = discriminator(imgs_hr).detach(), discriminator(gen_hr)
    loss_GAN = criterion_GAN(pred_fake - relative * pred_real.mean(), valid)
    loss_content = criterion_content(feature_extractor(gen_hr), feature_extractor(imgs_hr))
    lambda_adv = balance.lambda_adv  # balancer
    loss_G = loss_content + lambda_adv * loss_GAN + lambda_pixel * loss_pixel
    loss_G.backward()
    optimizer_G.step()

    optimizer_D.zero_grad()
    pred_real, pred_fake = discriminator(imgs_hr), discriminator(gen_hr.detach())
    loss_real = criterion_GAN(pred_real - relative * pred_fake.mean(), valid)
    loss_fake = criterion_GAN(pred_fake - relative * pred_real.mean(), fake)
    loss_D = (loss_real + loss_fake) / 2
    loss_D.backward()
    balance.d_update or optimizer_D.zero_grad()  # balancer
    optimizer_D.step()
    balance.after_d_step(real_logits=pred_real, fake_logits=pred_fake)  # balancer
    losses_d.append(loss_D.item())
balance.end_run()  # balancer
