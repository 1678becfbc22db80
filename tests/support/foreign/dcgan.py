"""In the order of PyTorch's DCGAN example, its sigmoid in the loss: D on real, then D on fake, a backward each."""

import torch
from torch import nn

from balancer import Balancer  # balancer

torch.manual_seed(999)
nz, ngf, ndf, batch_size = 8, 4, 4, 6
netG = nn.Sequential(
    nn.ConvTranspose2d(nz, ngf * 2, 4, 1, 0, bias=False),
    nn.BatchNorm2d(ngf * 2),
    nn.ReLU(True),
    nn.ConvTranspose2d(ngf * 2, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
)
netD = nn.Sequential(
    nn.Conv2d(1, ndf, 4, 2, 1, bias=False),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(ndf, ndf * 2, 2, 2, 0, bias=False),
    nn.BatchNorm2d(ndf * 2),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(ndf * 2, 1, 2, 1, 0, bias=False),
)
criterion = nn.BCEWithLogitsLoss()
real_label, fake_label = 1.0, 0.0
optimizerD = torch.optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizerG = torch.optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optimizerD, "g": optimizerG},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"})  # balancer  # fmt: skip

for _ in range(3):
    for _ in range(5):
        balance.start_step()  # balancer
        # (1) Update D network: maximize log(D(x)) + log(1 - D(G(z)))
        netD.zero_grad()
        real_cpu = torch.rand(batch_size, 1, 8, 8)
        label = torch.full((batch_size,), real_label)
        output = real_output = netD(real_cpu).view(-1)
        errD_real = criterion(output, label)
        errD_real.backward()

        noise = torch.randn(batch_size, nz, 1, 1)
        fake = netG(noise)
        label.fill_(fake_label)
        output = netD(fake.detach()).view(-1)
        errD_fake = criterion(output, label)
        errD_fake.backward()
        errD = errD_real + errD_fake
        losses_d.append(errD.item())
        balance.d_update or netD.zero_grad()  # balancer
        optimizerD.step()
        balance.after_d_step(real_logits=real_output, fake_logits=output)  # balancer

        # (2) Update G network: maximize log(D(G(z)))
        netG.zero_grad()
        label.fill_(real_label)
        output = netD(fake).view(-1)
        errG = criterion(output, label)
        errG = balance.lambda_adv * errG  # balancer
        errG.backward()
        optimizerG.step()
balance.end_run()  # balancer
