"""A pix2pix training script as somebody has one: edges in, filled shapes out. Only the marked lines are Balancer's.

Without them it is the script as it was; `d_due` and `adv_weight` were its author's own, as in many GAN scripts.
"""

import argparse

import torch
from torch import nn
from torch.nn import functional as F

from balancer import Balancer  # balancer


def shapes(n):
    """Filled discs and their outlines, 16 px, in [-1, 1]."""
    draw = torch.Generator().manual_seed(7)
    centre, radius = 8 + 4 * (torch.rand(n, 2, generator=draw) - 0.5), 3 + 3 * torch.rand(n, generator=draw)
    y, x = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")
    off = torch.hypot(x - centre[:, 0, None, None], y - centre[:, 1, None, None]) - radius[:, None, None]
    return ((off.abs() < 1).float() * 2 - 1)[:, None], torch.tanh(-2 * off)[:, None]


def train(args):
    torch.manual_seed(args.seed)
    edges, filled = shapes(48)
    G = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1), nn.BatchNorm2d(8), nn.LeakyReLU(0.2), nn.Dropout(0.2),
        nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip
    D = nn.Sequential(nn.Conv2d(2, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(8, 1, 4, 2, 1))
    opt_g = torch.optim.Adam(G.parameters(), lr=1e-3, betas=(0.5, 0.999))
    opt_d = torch.optim.Adam(D.parameters(), lr=2e-3, betas=(0.5, 0.999))
    scheds = [torch.optim.lr_scheduler.ExponentialLR(opt, 0.9) for opt in (opt_g, opt_d)]
    balance = Balancer(  # balancer
        args.plugins, settings=args.settings, optimizers={"g": opt_g, "d": opt_d}, log_dir=args.log_dir,  # balancer
        obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv", "d_acc", "adv", "l1"},  # balancer
        base={"lambda_adv": 1.0, "lambda_l1": 10.0},  # balancer
    )  # balancer  # fmt: skip
    first, history = 0, []
    if args.resume:
        saved = torch.load(args.resume, weights_only=True)
        for part, state in zip((G, D, opt_g, opt_d, *scheds), saved["parts"], strict=True):
            part.load_state_dict(state)
        torch.set_rng_state(saved["rng"])
        first = saved["step"]
        balance.load_state_dict(saved["balance"])  # balancer
    for step in range(first, args.steps):
        epoch, at = divmod(step, 6)
        balance.start_step(epoch=epoch)  # balancer
        order = torch.randperm(48, generator=torch.Generator().manual_seed(epoch))[at * 8 : at * 8 + 8]
        a, b = edges[order], filled[order]
        fake = G(a)

        d_due = step % args.d_every == 0
        d_due = d_due and balance.d_update  # balancer
        real_logits, fake_logits = D(torch.cat([a, b], 1)), D(torch.cat([a, fake.detach()], 1))
        if d_due:
            d_loss = 0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean())
            opt_d.zero_grad()
            d_loss.backward()
            opt_d.step()
        balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer

        adv, l1 = F.softplus(-D(torch.cat([a, fake], 1))).mean(), F.l1_loss(fake, b)
        adv_weight = args.lambda_adv
        adv_weight = balance.lambda_adv  # balancer
        g_loss = adv_weight * adv + 10 * l1
        opt_g.zero_grad()
        g_loss.backward()
        opt_g.step()
        balance.end_step(adv=adv, l1=l1)  # balancer
        history.append({"step": step, "adv_weight": adv_weight, "d_due": d_due})
        if at == 5:
            for sched in scheds:
                sched.step()
        if args.save_every and (step + 1) % args.save_every == 0:
            saved = {"step": step + 1, "rng": torch.get_rng_state()}
            saved["parts"] = [part.state_dict() for part in (G, D, opt_g, opt_d, *scheds)]
            saved["balance"] = balance.state_dict()  # balancer
            torch.save(saved, f"{args.out}_{step + 1}.pt")
    balance.end_run()  # balancer
    return {"weights": [*G.state_dict().values(), *D.state_dict().values()], "history": history, "scheds": scheds}


def arguments(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--d-every", type=int, default=1)
    parser.add_argument("--lambda-adv", type=float, default=1.0)
    parser.add_argument("--save-every", type=int, default=0)
    parser.add_argument("--out", default="checkpoint")
    parser.add_argument("--resume")
    parser.add_argument("--log-dir")  # balancer
    parser.add_argument("--plugins", type=lambda text: text.split(","), default=[])  # balancer
    parser.set_defaults(settings={})  # balancer
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(arguments())
