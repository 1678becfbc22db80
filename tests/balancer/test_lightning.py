"""Lightning's callback: checkpoints in an epoch, both packages, wrapped optimizers, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
# The example, with data and noise that a resumed run meets again: Lightning restores neither.
PROGRAM = """
import json, os, sys
from pathlib import Path
sys.path[:0] = [sys.argv[1], str(Path(sys.argv[1], "tests"))]
import torch
from balancer import Balancer, read_signals
from support.adapter_run import ended
PACKAGE = sys.argv[3]
os.chdir(sys.argv[4])
torch.set_num_threads(1)
source = Path(sys.argv[2]).read_text(encoding="utf-8").partition("L.seed_everything")[0]
source = source.replace("import lightning as L", f"import {PACKAGE} as L")
source = source.replace("torch.randn(len(real), 4)", "torch.randn(len(real), 4, generator=noise(self.global_step))")
source = source.replace("(real,) = batch", "real = batches[16 * batch_idx : 16 * batch_idx + 16]")
batches = torch.arange(160.0).reshape(80, 2) / 80
names = {"__name__": "script", "batches": batches, "noise": lambda step: torch.Generator().manual_seed(step)}
exec(compile(source, "example", "exec"), names)
L, BalancerCallback, Gan = names["L"], names["BalancerCallback"], names["Gan"]
QUIET = dict(accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False)
SETTINGS = {"dynamic_lambda": {"warmup_steps": 3, "bands": [[0.65, 0.3], [0.69, 0.4]]}}

class Saves(L.Callback):
    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 2:
            trainer.save_checkpoint("middle.ckpt")

class Breaks(L.Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if trainer.current_epoch == 1 and batch_idx == 3:
            raise RuntimeError("broken off")

def balancer(**options):
    given = {"plugins": ["dynamic_lambda", "d_lr_ratio", "d_skip"], "optimizers": {"g": 0, "d": 1}, **options}
    return BalancerCallback(
        obeys={"lambda_adv", "d_update", "lr_d"}, supplies={"d_adv"}, settings=SETTINGS, log_dir=log, **given
    )

def fit(callback, *others, gan=None, epochs=3, **options):
    torch.manual_seed(0)
    gan = gan or Gan()
    trainer = L.Trainer(max_epochs=epochs, callbacks=[callback, *others], enable_checkpointing=False, **QUIET)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(batches), batch_size=16)
    trainer.fit(gan, loader, **options)
    return {"weights": ended({"gan": gan})["weights"], "state": repr(callback.balance.state_dict())}

def error(*args, **options):
    try:
        return fit(*args, **options)
    except Exception as caught:
        return f"{type(caught).__name__}: {caught}"
"""


def run(package: str, folder: Path, program: str) -> Any:
    command = [sys.executable, "-c", PROGRAM + program + "\nprint(json.dumps(said))", str(ROOT)]
    command += [str(ROOT / "docs" / "adapters" / "lightning_gan.py"), package, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "BalancerWarning" not in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("package", ["lightning", "pytorch_lightning"])
def test_a_run_broken_off_in_an_epoch_goes_on_bit_for_bit_from_its_checkpoint(package: str, tmp_path: Path) -> None:
    program = """
log = "whole"
whole = fit(balancer())
log = "parts"
broken = error(balancer(), Saves(), Breaks())
resumed = fit(balancer(), ckpt_path="middle.ckpt")
columns = [{name: column.tolist() for name, column in read_signals(log).items()} for log in ("whole", "parts")]
said = [whole, broken, resumed, columns]
"""
    whole, broken, resumed, (one, other) = run(package, tmp_path, program)
    assert broken == "RuntimeError: broken off"
    assert resumed == whole
    assert one["step"] == list(range(15))
    assert one["epoch"] == [0] * 5 + [1] * 5 + [2] * 5
    assert len(set(one["lambda_adv"])) > 1
    assert str(other) == str(one), "NaN is not equal to itself"


def test_a_refusal_a_second_fit_and_a_balancer_of_ones_own(tmp_path: Path) -> None:
    program = """
log = None

class Own(Gan):
    def on_train_start(self):
        opt_g, opt_d = self.optimizers()
        options = {"obeys": {"lambda_adv", "d_update"}, "optimizers": {"d": opt_d, "g": opt_g}}
        self.balance = Balancer(["d_skip"], **options)
        callback.balance = self.balance
    def training_step(self, batch, batch_idx):
        self.balance.start_step()
        super().training_step(batch, batch_idx)

said = [error(balancer(optimizers={"g": 0, "d": [1, 2]}))]
callback = balancer()
fit(callback, epochs=1)
fit(callback, epochs=2)
said += [[callback.balance.step, callback.balance.g_updates]]
callback = L.Callback()
fit(callback, gan=Own(), epochs=1)
said += [[callback.balance.d_updates, callback.balance.g_updates]]
"""
    missing, twice, own = run("lightning", tmp_path, program)
    assert missing == "ConfigError: optimizers: 'd' is 2, but Gan.configure_optimizers gives 2"
    assert twice == [15, 15], "5 steps, then 10"
    assert own == [3, 5]


def test_without_lightning_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("lightning", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=r"needs Lightning, which is not installed: pip install lightning$"):
        import_module("balancer.lightning")
