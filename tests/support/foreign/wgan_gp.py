"""In the order of PyTorch-GAN's WGAN-GP: D in every batch with a gradient penalty, G in every n_critic-th."""

import torch
from torch import nn

from balancer import Balancer  # balancer

torch.manual_seed(2)
ADVERSARIAL = "hinge"
CRITICS = {
    "hinge": lambda real, fake: torch.relu(1 - real).mean() + torch.relu(1 + fake).mean(),
    "wasserstein": lambda real, fake: -real.mean() + fake.mean(),
}
critic_loss = CRITICS[ADVERSARIAL]
lambda_gp, n_critic = 10, 5
generator = nn.Sequential(nn.Linear(6, 16), nn.LeakyReLU(0.2), nn.Linear(16, 16), nn.Tanh())
discriminator = nn.Sequential(nn.Linear(16, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
optimizer_G = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizer_D = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optimizer_D, "g": optimizer_G},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, adversarial=ADVERSARIAL)  # balancer  # fmt: skip


def compute_gradient_penalty(D, real_samples, fake_samples):
    alpha = torch.rand(real_samples.size(0), 1)
    interpolates = (alpha * real_samples + (1 - alpha) * fake_samples).requires_grad_(True)
    d_interpolates = D(interpolates)
    gradients = torch.autograd.grad(d_interpolates, interpolates, torch.ones_like(d_interpolates), create_graph=True)[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


for i in range(20):
    balance.start_step()  # balancer
    real_imgs = torch.rand(8, 16) * 2 - 1
    optimizer_D.zero_grad()
    z = torch.randn(8, 6)
    fake_imgs = generator(z)
    real_validity = discriminator(real_imgs)
    fake_validity = discriminator(fake_imgs.detach())
    gradient_penalty = compute_gradient_penalty(discriminator, real_imgs, fake_imgs.detach())
    loss = critic_loss(real_validity, fake_validity)
    d_loss = loss + lambda_gp * gradient_penalty
    d_loss.backward()
    balance.d_update or optimizer_D.zero_grad()  # balancer
    optimizer_D.step()
    balance.after_d_step(real_logits=real_validity, fake_logits=fake_validity)  # balancer
    losses_d.append(loss.item())

    optimizer_G.zero_grad()
    if i % n_critic == 0:
        fake_imgs = generator(z)
        g_loss = -discriminator(fake_imgs).mean()
        g_loss = balance.lambda_adv * g_loss  # balancer
        g_loss.backward()
        optimizer_G.step()
balance.end_run()  # balancer
