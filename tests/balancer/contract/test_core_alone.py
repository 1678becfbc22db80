"""`pip install balancer` alone: what works without torch, what each thing that needs more says, and then needs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.declared import required
from support.environments import ROOT, Environment, Result
from support.point_runs import ran

LINE = 'balancer: this needs {module}, which is not installed: pip install "balancer[{extra}]"\n'

NUMBERS = """
import sys
from balancer import Balancer
balance = Balancer(
    ["dynamic_lambda", "d_skip"],
    settings={"dynamic_lambda": {"warmup_steps": 2}},
    base={"lambda_adv": 1.0},
    supplies={"d_adv", "d_acc"},
    obeys={"lambda_adv", "d_update"},
    log_dir=sys.argv[1],
    log_every=1,
)
with balance:
    for step in range(20):
        balance.start_step(epoch=step // 10)
        balance.after_d_step(d_adv=0.4 if step < 6 else 0.01, d_acc=0.9)
        balance.before_g_backward(adv=2.0)
        held = balance.lambda_adv
        balance.end_step()
    balance.state_dict()
print(held, len(balance.row), "torch" in sys.modules)
"""

FOREIGN = """
import sys
import torch
from balancer import Balancer
D, G = torch.nn.Linear(2, 1), torch.nn.Linear(2, 2)
optimizers = {"d": torch.optim.Adam(D.parameters()), "g": torch.optim.Adam(G.parameters())}
balance = Balancer(
    ["dynamic_lambda", "d_lr_ratio"],
    optimizers=optimizers,
    base={"lambda_adv": 1.0},
    supplies={"d_adv"},
    obeys={"lambda_adv", "d_update", "lr_d"},
    log_dir=sys.argv[1],
    log_every=1,
)
loss = torch.nn.functional.binary_cross_entropy_with_logits
one, none = torch.ones(8, 1), torch.zeros(8, 1)
with balance:
    for step in range(4):
        balance.start_step(epoch=0)
        fake = G(torch.randn(8, 2))
        real_logits, fake_logits = D(torch.randn(8, 2)), D(fake.detach())
        optimizers["d"].zero_grad()
        (loss(real_logits, one) + loss(fake_logits, none)).backward()
        optimizers["d"].step()
        balance.after_d_step(real_logits=real_logits, fake_logits=fake_logits)
        adv = loss(D(fake), one)
        optimizers["g"].zero_grad()
        (balance.lambda_adv * adv).backward()
        optimizers["g"].step()
print("d_adv" in {name for _, name in balance.row}, {"accelerate", "safetensors", "PIL"} & set(sys.modules))
"""

SCALARS = """
import sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
print(len(EventAccumulator(sys.argv[1]).Reload().Scalars("signal/d_adv")))
"""


@pytest.fixture(scope="module")
def core(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with our wheel and the core's requirements."""
    made = Environment(tmp_path_factory.mktemp("core") / "venv")
    made.install(wheels["balancer"])
    made.take(*required())
    return made


@pytest.fixture(scope="module")
def run(core: Environment) -> Path:
    """A run that was trained elsewhere."""
    return ran(core.folder / "run", "dynamic_lambda", ("dynamic_lambda.warmup_steps=2",), steps=12)


def test_nothing_of_the_extras_is_there(core: Environment) -> None:
    program = "import importlib.util as u, sys\nprint([name for name in sys.argv[1:] if u.find_spec(name)])"
    done = core.run(
        program, "torch", "accelerate", "safetensors", "jinja2", "fontTools", "torchmetrics", "vtracer", "typer"
    )
    assert done == Result(0, "['typer']\n", "")


@pytest.mark.parametrize(
    "command",
    ["--help", "plugins list", "plugins show dynamic_lambda", "zi2zi --help", "diagnose LOG", "diagnose RUN --json",
     "plugins check dynamic_lambda,d_lr_ratio", "plugins check d_skip --model points", "explain RUN --step 5",
     "replay RUN --plugins d_skip"],
)  # fmt: skip
def test_commands_that_read_work(core: Environment, run: Path, command: str) -> None:
    places = {"LOG": ROOT / "docs" / "case.log", "RUN": run}
    done = core.balancer(*(places.get(word, word) for word in command.split()))
    assert done.status == 0 and done.err == "", done
    assert done.out


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        ("train --model points --steps 3 --out OUT", "torch", "train"),
        ("train --model points --steps 3 --dry-run", "torch", "train"),
        ("train --resume RUN --steps 99", "torch", "train"),
        ("train --steps 3 --out OUT", "torch", "zi2zi"),
        ("report RUN --out OUT", "jinja2", "page"),
        ("diagnose RUN --html OUT", "jinja2", "page"),
        ("zi2zi infer RUN --out OUT --text A", "torch", "zi2zi"),
        ("zi2zi evaluate RUN --out OUT", "torch", "zi2zi"),
        ("zi2zi data build --source a.ttf --targets b.ttf --out OUT", "fontTools", "zi2zi"),
        ("zi2zi import a.pth --out OUT", "torch", "zi2zi"),
    ],
)
def test_commands_that_need_more_say_what_installs_it(
    core: Environment, run: Path, tmp_path: Path, command: str, module: str, extra: str
) -> None:
    places = {"OUT": tmp_path / "out", "RUN": Path(shutil.copytree(run, tmp_path / "run"))}
    before = sorted(path.name for path in places["RUN"].iterdir())
    done = core.balancer(*(places.get(word, word) for word in command.split()))
    assert done == Result(2, "", LINE.format(module=module, extra=extra))
    assert not places["OUT"].exists()
    assert sorted(path.name for path in places["RUN"].iterdir()) == before


def test_a_balancer_takes_numbers_and_keeps_its_logs(core: Environment) -> None:
    folder = core.folder / "numbers"
    done = core.run(NUMBERS, folder)
    assert done.status == 0 and done.err == "", done
    held, values, has_torch = done.out.split()
    assert (held, has_torch) == ("0.2", "False") and int(values) > 3
    assert core.run(SCALARS, folder).out == "20\n"
    explained = core.balancer("explain", folder, "--step", 12)
    assert explained.status == 0 and "lambda_adv = 0.2" in explained.out


def test_public_names_say_it_too(core: Environment, run: Path) -> None:
    program = (
        "import sys, pathlib, balancer, balancer.errors, balancer.testing\n"
        "made = balancer.testing.replay(['d_skip'], balancer.testing.recorded(pathlib.Path(sys.argv[1])))\n"
        "for use in (lambda: balancer.report, lambda: balancer.load_run(pathlib.Path(sys.argv[1])),\n"
        "            lambda: balancer.testing.check_plugin('d_skip')):\n"
        "    try: use()\n"
        "    except balancer.errors.MissingExtra as error: print(str(error).rpartition(' ')[2])\n"
    )
    done = core.run(program, run)
    assert done == Result(0, '"balancer[page]"\n"balancer[train]"\n"balancer[train]"\n', "")


def test_a_foreign_loop_that_has_torch_needs_no_more(wheels: dict[str, Path], tmp_path: Path) -> None:
    made = Environment(tmp_path / "venv")
    made.install(wheels["balancer"])
    made.take(*required(), "torch")
    done = made.run(FOREIGN, tmp_path / "log")
    assert done == Result(0, "True set()\n", ""), done
    assert made.run(SCALARS, tmp_path / "log").out == "4\n"


@pytest.mark.parametrize(
    ("extra", "command", "lacks"),
    [
        ("page", "report RUN --out OUT", "torch"),
        ("train", "train --model points --steps 2 --device cpu --out OUT", "fontTools"),
        ("zi2zi", "train --steps 2 --device cpu --set train.threads=1 --out OUT", "vtracer"),
    ],
)
def test_an_extra_brings_all_that_it_is_for(
    wheels: dict[str, Path], run: Path, tmp_path: Path, extra: str, command: str, lacks: str
) -> None:
    made = Environment(tmp_path / "venv")
    made.install(wheels["balancer"])
    made.take(*required(), *required(extra))
    assert made.run(f"import {lacks}").status == 1
    places = {"RUN": run, "OUT": tmp_path / "out"}
    done = made.balancer(*(places.get(word, word) for word in command.split()))
    assert done.status == 0, done.err
    assert places["OUT"].exists()
