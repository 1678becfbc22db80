"""Bad names, values and config files end with one line that says what to do, and nothing half-written."""

from pathlib import Path

import pytest
from support.refusals import POINTS, RUN, Cli, refused

pytestmark = pytest.mark.usefixtures("here")

# What is asked for.

UNKNOWN = [
    (("--plugins", "dynamic_lamda"), "unknown plugin 'dynamic_lamda': did you mean dynamic_lambda?"),
    (("--plugins", "zzz"), "unknown plugin 'zzz': known are adaptive_augment, adversarial_start,"),
    (("--plugins", "d_skip,dskip"), "unknown plugin 'dskip': did you mean d_skip?"),
    (("--model", "zi2zy"), "unknown model 'zi2zy': did you mean zi2zi?"),
    (("--set", "train.batch_sise=4"), "train.batch_sise: no such setting: did you mean batch_size?"),
    (("--set", "train.momentum=0.9"), "train.momentum: no such setting: known are"),
    (("--set", "model.widht=4"), "model.widht: no such setting: did you mean width?"),
    (("--plugins", "d_skip", "--set", "d_skip.evry=2"), "d_skip.evry: no such setting: did you mean every?"),
    (("--set", "d_skip.every=2"), "d_skip is not part of this run: add d_skip to --plugins"),
    (("--plugins", "d_skip", "--set", "dskip.every=2"), "dskip is not part of this run: did you mean d_skip?"),
    (("--set", "trian.lr=1"), "trian is not part of this run: did you mean train?"),
    (("--set", "run.plugins=d_skip"), "run.plugins"),
    (("--set", "run.model=zi2zi"), "run.model"),
]  # fmt: skip

BANDS = ("--plugins", "dynamic_lambda", "--set")
VALUES = [
    (("--set", "train.lambda_adv=nan"), "train.lambda_adv: input should be a finite number, got nan"),
    (("--set", "train.lr=inf"), "train.lr: input should be a finite number, got inf"),
    (("--set", "train.lambda_adv=-0.3"), "train.lambda_adv: input should be greater than or equal to 0, got -0.3"),
    (("--set", "train.lr=0"), "train.lr: input should be greater than 0, got 0"),
    (("--set", "train.lr=fast"), "train.lr: input should be a valid number"),
    (("--set", "train.batch_size=2.5"), "train.batch_size: input should be a valid integer"),
    (("--set", "train.batch_size=[4]"), "train.batch_size: input should be a valid integer"),
    (("--set", "model.lambda_category=-1"), "model.lambda_category: input should be greater than or equal to 0"),
    ((*BANDS, "dynamic_lambda.initial=nan"), "dynamic_lambda.initial: input should be a finite number, got nan"),
    ((*BANDS, "dynamic_lambda.ceiling=-1"), "dynamic_lambda.ceiling: input should be greater than or equal to 0"),
    ((*BANDS, "dynamic_lambda.bands=[[0.1, nan]]"), "dynamic_lambda.bands"),
    ((*BANDS, "dynamic_lambda.bands=[[0.2, 0.1], [0.1, 0.2]]"), "thresholds must be positive and rise"),
    (("--plugins", "d_skip", "--set", "d_skip.every=0"), "d_skip.every: input should be greater than or equal to 1"),
    (("--plugins", "lambda_schedule", "--set", "lambda_schedule.steps=[[0, -0.1]]"), "lambda_schedule.steps"),
    (("--steps", -4), "train.steps: input should be greater than or equal to 1, got -4"),
    (("--epochs", 0), "train.epochs: input should be greater than or equal to 1, got 0"),
    (("--seed", -1), "train.seed: input should be greater than or equal to 0, got -1"),
    (("--device", "tpu"), "train.device: input should be 'auto', 'cpu' or 'cuda', got 'tpu'"),
    (("--set", "train.precision=fp16"), "train.precision: input should be 'fp32' or 'bf16'"),
    (("--set", "model.adversarial=wgan"), "model.adversarial: there is no such loss (did you mean wasserstein?)"),
    (("--set", "train.lr"), "--set 'train.lr': expected NAME.KEY=VALUE"),
    (("--set", "lr=0.1"), "--set 'lr=0.1': expected NAME.KEY=VALUE"),
    (("--set", ".lr=0.1"), "expected NAME.KEY=VALUE"),
    (("--set", "train.=0.1"), "expected NAME.KEY=VALUE"),
    (("--steps", 3, "--epochs", 3), "--steps and --epochs contradict each other"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "message"), [*UNKNOWN, *VALUES], ids=lambda value: value if isinstance(value, str) else ""
)
def test_names_and_values(args: tuple[object, ...], message: str, cli: Cli) -> None:
    own = {"--steps", "--epochs"} & set(args)
    base = (*POINTS, "--out", "run", "--quiet") if own else (*POINTS, "--out", "run", "--quiet", "--steps", 3)
    assert message in refused(cli, *base, *args)


def test_no_length(cli: Cli) -> None:
    assert refused(cli, *POINTS, "--plugins", "", "--out", "deep/run") == "how long? give --steps N or --epochs N"


RIVAL = """
from balancer import Plugin


class Rival(Plugin):
    name = "rival"
    writes = {"lambda_adv": ("set",)}
"""


def test_two_owners_of_a_knob(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    site = tmp_path / "site"
    info = site / "rival-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "rival_plugin.py").write_text(RIVAL)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[balancer.plugins]\nrival = rival_plugin:Rival\n")
    monkeypatch.syspath_prepend(str(site))
    message = refused(cli, *RUN, "--plugins", "rival,dynamic_lambda", "--out", "run")
    assert (
        message == "plugins dynamic_lambda and rival both set lambda_adv: a knob has one owner; leave one of them out"
    )
    # A schedule beside a law is no second owner.
    assert cli("train", *RUN, "--plugins", "rival,lambda_schedule", "--out", "run").status == 0


def test_what_the_model_does_not_offer(cli: Cli) -> None:
    hinge = refused(cli, *RUN, "--plugins", "label_smoothing", "--set", "model.adversarial=hinge", "--out", "run")
    assert "label_smoothing" in hinge
    assert "the hinge loss has no labels to smooth" in hinge
    headless = refused(cli, *RUN, "--plugins", "freeze_head", "--set", "model.head=false", "--out", "run")
    assert "D of model points has no head that may be frozen" in headless
    head = refused(cli, *RUN, "--plugins", "freeze_head", "--set", "freeze_head.head=binary", "--out", "run")
    assert "no such head of D; known are category" in head
    twice = refused(cli, *RUN, "--plugins", "d_skip,d_skip", "--out", "run")
    assert "d_skip is named twice" in twice


# Config files.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train\nlr = 1", "config bad.toml: "),
        ("lr = 0.1", "lr"),
        ("train = 5", "train"),
        ("run = 5", "run"),
        ("[run]\nplugins = 'd_skip'", "run.plugins"),
        ("[run]\nplugins = [3]", "run.plugins"),
        ("[run]\nmodel = 3", "run.model"),
        ("[run]\nmodle = 'points'", "run.modle: no such setting: did you mean model?"),
        ("[d_skpi]\nevery = 2", "there is no plugin 'd_skpi': did you mean d_skip?"),
        ("[train]\nlr = nan", "train.lr: input should be a finite number"),
        ("[run]\nplugins = ['d_skip']\n[d_skip]\nevery = -2", "d_skip.every: input should be greater"),
        ("[train]\nlr = 1e-4\nlr = 1e-3", "config bad.toml: "),
    ],
)
def test_config_files(text: str, message: str, here: Path, cli: Cli) -> None:
    (here / "bad.toml").write_text(text)
    base = ("--config", "bad.toml", "--steps", 3, "--device", "cpu", "--quiet", "--out", "run")
    assert message in refused(cli, *base, *(() if "model" in text else ("--model", "points")))


def test_config_files_that_are_not_there_or_no_text(here: Path, cli: Cli) -> None:
    assert refused(cli, *RUN, "--out", "run", "--config", "none.toml") == "config none.toml: no such file"
    assert "is neither a file nor a recipe: did you mean document?" in refused(cli, *RUN, "--config", "documnt")
    (here / "binary.toml").write_bytes(bytes(range(256)))
    assert refused(cli, *RUN, "--out", "run", "--config", "binary.toml").startswith("config binary.toml: ")
    (here / "folder.toml").mkdir()
    assert refused(cli, *RUN, "--out", "run", "--config", "folder.toml").startswith("config folder.toml: ")
