"""In the order of HiFi-GAN: multi-period and multi-scale D with one optimizer, lists of logits, feature matching."""

import itertools

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer


class Multi(nn.Module):
    def __init__(self, views):
        super().__init__()
        self.views = views
        nets = [nn.Sequential(nn.Linear(32, 8), nn.LeakyReLU(0.1), nn.Linear(8, 1)) for _ in views]
        self.discriminators = nn.ModuleList(nets)

    def forward(self, y, y_hat):
        y_d_rs, y_d_gs, fmap_rs, fmap_gs = [], [], [], []
        for view, d in zip(self.views, self.discriminators, strict=True):
            for wave, scores, maps in ((y, y_d_rs, fmap_rs), (y_hat, y_d_gs, fmap_gs)):
                fmap = d[1](d[0](view(wave)))
                scores.append(d[2](fmap).flatten(1))
                maps.append(fmap)
        return y_d_rs, y_d_gs, fmap_rs, fmap_gs


def feature_loss(fmap_r, fmap_g):
    return 2 * sum((rl - gl).abs().mean() for rl, gl in zip(fmap_r, fmap_g, strict=True))


def discriminator_loss(disc_real_outputs, disc_generated_outputs):
    pairs = zip(disc_real_outputs, disc_generated_outputs, strict=True)
    return sum((1 - dr).square().mean() + dg.square().mean() for dr, dg in pairs)


def generator_loss(disc_outputs):
    return sum((1 - dg).square().mean() for dg in disc_outputs)


torch.manual_seed(5)
generator = nn.Sequential(nn.Linear(8, 32), nn.LeakyReLU(0.1), nn.Linear(32, 32), nn.Tanh())
mpd = Multi([lambda y: y, lambda y: y.view(-1, 2, 16).transpose(1, 2).flatten(1)])
msd = Multi([lambda y: y, lambda y: F.interpolate(F.avg_pool1d(y[:, None], 2), 32)[:, 0]])
optim_g = torch.optim.AdamW(generator.parameters(), 2e-4, betas=(0.8, 0.99))
optim_d = torch.optim.AdamW(itertools.chain(msd.parameters(), mpd.parameters()), 2e-4, betas=(0.8, 0.99))
scheduler_g = torch.optim.lr_scheduler.ExponentialLR(optim_g, gamma=0.9)
scheduler_d = torch.optim.lr_scheduler.ExponentialLR(optim_d, gamma=0.9)
losses_d = []
balance = Balancer(["dynamic_lambda", "d_skip"], optimizers={"d": optim_d, "g": optim_g},  # balancer
    obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, adversarial="lsgan")  # balancer  # fmt: skip

for _ in range(3):
    for _ in range(5):
        balance.start_step()  # balancer
        x = torch.randn(4, 8)
        y = torch.sin(x.repeat(1, 4))
        y_g_hat = generator(x)

        optim_d.zero_grad()
        y_df_hat_r, y_df_hat_g, _, _ = mpd(y, y_g_hat.detach())
        y_ds_hat_r, y_ds_hat_g, _, _ = msd(y, y_g_hat.detach())
        loss_disc_all = discriminator_loss(y_ds_hat_r, y_ds_hat_g) + discriminator_loss(y_df_hat_r, y_df_hat_g)
        loss_disc_all.backward()
        balance.d_update or optim_d.zero_grad()  # balancer
        optim_d.step()
        balance.after_d_step(real_logits=y_df_hat_r + y_ds_hat_r, fake_logits=y_df_hat_g + y_ds_hat_g)  # balancer
        losses_d.append(loss_disc_all.item())

        optim_g.zero_grad()
        loss_mel = F.l1_loss(y, y_g_hat) * 45
        _, y_df_hat_g, fmap_f_r, fmap_f_g = mpd(y, y_g_hat)
        _, y_ds_hat_g, fmap_s_r, fmap_s_g = msd(y, y_g_hat)
        loss_fm = feature_loss(fmap_f_r, fmap_f_g) + feature_loss(fmap_s_r, fmap_s_g)
        loss_gen = generator_loss(y_ds_hat_g) + generator_loss(y_df_hat_g)
        loss_gen = balance.lambda_adv * loss_gen  # balancer
        loss_gen_all = loss_gen + loss_fm + loss_mel
        loss_gen_all.backward()
        optim_g.step()
    scheduler_g.step()
    scheduler_d.step()
balance.end_run()  # balancer
