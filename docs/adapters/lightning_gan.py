"""Lightning: a module that optimises by hand; the callback opens and closes its steps and keeps their state."""

import lightning as L
import torch
from torch import nn
from torch.nn import functional as F

from balancer.lightning import BalancerCallback  # balancer


class Gan(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False
        self.G = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2))
        self.D = nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))

    def configure_optimizers(self):
        return [torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.5, 0.999)) for net in (self.G, self.D)]

    def training_step(self, batch, batch_idx):
        opt_g, opt_d = self.optimizers()
        (real,) = batch
        fake = self.G(torch.randn(len(real), 4))
        train_d = True
        train_d = self.balance.d_update  # balancer
        with torch.set_grad_enabled(train_d):
            real_logits, fake_logits = self.D(real), self.D(fake.detach())
        if train_d:
            opt_d.zero_grad()
            self.manual_backward(0.5 * (F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()))
            opt_d.step()
        self.balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)  # balancer

        adv = F.softplus(-self.D(fake)).mean()
        adv = self.balance.lambda_adv * adv  # balancer
        opt_g.zero_grad()
        self.manual_backward(adv)
        opt_g.step()


L.seed_everything(0, verbose=False)
gan = Gan()
trainer = L.Trainer(
    max_epochs=2, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
    enable_checkpointing=False,
    callbacks=[BalancerCallback(["dynamic_lambda", "d_lr_ratio", "d_skip"], optimizers={"g": 0, "d": 1},  # balancer
        obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, log_dir="runs/mine")],  # balancer
)  # fmt: skip
data = torch.utils.data.TensorDataset(torch.randn(160, 2) + 2)
trainer.fit(gan, torch.utils.data.DataLoader(data, batch_size=16, shuffle=True))
