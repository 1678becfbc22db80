"""`balancer plugins …`: what is shown, and what is refused in one line."""

import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.built_in import BUILT_IN

EVIDENCE = tomllib.loads((Path(__file__).parents[3] / "plugins" / "evidence.toml").read_text(encoding="utf-8"))
RECIPES = ["document", "document_dynamic", "document_resume", "document_weak_d", "esrgan", "vocoder", "vqgan"]

SENTENCE = (
    "Sets lambda_adv after D's update and before G's backward pass, in the same step (source document, remedy 5)."
)

Cli = Callable[..., Any]


def refusal(result: Any) -> str:
    """The one line on stderr of a command that was refused."""
    assert (result.status, result.out) == (2, "")
    assert "Traceback" not in result.err
    (line,) = result.err.splitlines()
    assert line.startswith("balancer: ")
    return line.removeprefix("balancer: ")


# list.


def test_list_names_every_plugin_with_its_distribution_and_the_recipes(cli: Cli) -> None:
    result = cli("plugins", "list")
    assert (result.status, result.err) == (0, "")
    rows = [line.split() for line in result.out.partition("\n\n")[0].splitlines() if not line.startswith(" ")]
    assert rows == [[name, "balancer", "0.1.0"] for name in BUILT_IN]
    measured = f"    evidence: {EVIDENCE['dynamic_lambda']}\n"
    assert f"    {SENTENCE}\n{measured}    at on_run_start, after_d_step\n" in result.out
    assert f"recipes (for --config): {', '.join(RECIPES)}" in result.out


def test_list_as_json(cli: Cli) -> None:
    listed = json.loads(cli("plugins", "list", "--json").out)
    assert listed["recipes"] == RECIPES
    assert [row["name"] for row in listed["plugins"]] == [*BUILT_IN]
    assert listed["plugins"][BUILT_IN.index("dynamic_lambda")] == {
        "name": "dynamic_lambda",
        "distribution": "balancer",
        "version": "0.1.0",
        "remark": "",
        "module": "balancer_plugins.dynamic_lambda:DynamicLambda",
        "sentence": SENTENCE,
        "hooks": ["on_run_start", "after_d_step"],
        "homepage": "",
        "evidence": EVIDENCE["dynamic_lambda"],
    }
    assert listed["broken"] == []


# show.


@pytest.mark.parametrize("name", BUILT_IN)
def test_show_has_every_setting_with_its_default_and_source(cli: Cli, name: str) -> None:
    shown = json.loads(cli("plugins", "show", name, "--json").out)
    assert (shown["name"], shown["distribution"], shown["version"]) == (name, "balancer", "0.1.0")
    assert shown["writes"] or shown["brings_terms"] or "transform_d_input" in shown["hooks"], "it acts somewhere"
    assert shown["evidence"] == EVIDENCE[name]
    assert shown["settings"]
    assert all(row["description"] for row in shown["settings"])
    text = cli("plugins", "show", name).out
    assert text.startswith(f"{name}, from balancer 0.1.0 (balancer_plugins.{name}:")
    for row in shown["settings"]:
        assert f"{name}.{row['name']} = " in text
        assert row["description"] in text


def test_show_says_what_is_read_and_written_and_how(cli: Cli) -> None:
    text = cli("plugins", "show", "dynamic_lambda").out
    assert "reads:  d_adv\nwrites: lambda_adv (set)\n" in text
    assert "  dynamic_lambda.initial = 0.25  [float]\n" in text
    assert "  dynamic_lambda.bands = not given  [" in text
    assert "(source document, remedy 7)" in cli("plugins", "show", "d_lr_ratio").out
    assert "writes: d_update (period, gate)" in cli("plugins", "show", "d_skip").out


BRINGS = """
from balancer import KnobSpec, Plugin, SignalSpec, hookimpl


class Brings(Plugin):
    name = "brings"
    after = ("d_skip",)
    sees = ("features",)
    requests = ("end",)
    brings_terms = ("match",)
    brings_signals = (SignalSpec("distance", "plugin", "how far maps lie apart"),)
    brings_knobs = (KnobSpec("lambda_match", "weight of the match", ("set",), "before_g_backward", base=2.0),)

    @hookimpl
    def g_loss_terms(self, ctx): ...
"""


def test_show_says_what_else_is_declared(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "brings.py").write_text(BRINGS)
    name = f"{tmp_path / 'brings.py'}:Brings"
    shown = json.loads(cli("plugins", "show", name, "--json").out)
    assert shown["brings_terms"] == {"d": [], "g": ["match"]}
    assert shown["brings_signals"] == [{"name": "distance", "summary": "how far maps lie apart"}]
    (knob,) = shown["brings_knobs"]
    assert (knob["name"], knob["ops"], knob["read_after"]) == ("lambda_match", ["set"], "before_g_backward")
    assert [shown[key] for key in ("sees", "requests", "after", "hooks")] == [
        ["features"], ["end"], ["d_skip"], ["g_loss_terms"],
    ]  # fmt: skip
    assert (
        "writes: no knob\n"
        "brings: term match (of G's loss), signal distance (how far maps lie apart), "
        "knob lambda_match (weight of the match)\n"
        "sees:   features\nrequests: end\nafter:  d_skip\nhooks:  g_loss_terms\n\nsettings: none\n"
    ) in cli("plugins", "show", name).out


# check.

BOUNDS = ("--model", "points", "--set", "lambda_schedule.steps=[[0, 0.4]]")


def test_check_shows_order_owners_and_how_contributions_meet(cli: Cli) -> None:
    result = cli("plugins", "check", "lambda_schedule,d_lr_ratio,dynamic_lambda", *BOUNDS)
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines() == [
        "model:   points",
        "plugins: d_lr_ratio → dynamic_lambda → lambda_schedule",
        "  d_lr_ratio (balancer 0.1.0) reads no signal",
        "  dynamic_lambda (balancer 0.1.0) reads d_adv",
        "  lambda_schedule (balancer 0.1.0) reads no signal",
        "  lambda_adv: base 1.0; dynamic_lambda (sets it), lambda_schedule (upper bound); read after before_g_backward",
        "  lr_d: base scheduled; d_lr_ratio (ratio to lr_g); read after before_d_backward",
        "warning: lambda_schedule: it bounds what dynamic_lambda sets (0.4 from epoch 0): "
        "bands above the bound act as one",
        "these plugins can work together",
    ]


def test_check_as_json(cli: Cli) -> None:
    arguments = ("--model", "points", "--set", "train.lambda_adv=0.3", "--set", "d_skip.every=3", "--json")
    checked = json.loads(cli("plugins", "check", "d_skip, d_lr_ratio ,lambda_schedule", *arguments).out)
    assert checked["order"] == ["d_lr_ratio", "d_skip", "lambda_schedule"]
    assert checked["reads"] == {"d_lr_ratio": [], "d_skip": [], "lambda_schedule": []}
    assert checked["knobs"]["lambda_adv"] == {
        "base": 0.3,
        "writers": [{"plugin": "lambda_schedule", "how": "set"}],
        "read after": "before_g_backward",
    }
    assert checked["knobs"]["d_update"]["writers"] == [
        {"plugin": "d_skip", "how": "period"},
        {"plugin": "d_skip", "how": "gate"},
    ]
    (warning,) = checked["warnings"]
    assert warning.startswith("d_lr_ratio: together with d_skip D gets 0.0833 of its usual training")


def test_check_prints_warnings_and_accepts_all_the_same(cli: Cli) -> None:
    result = cli("plugins", "check", "freeze_head,lambda_schedule", "--set", "freeze_head.until=20")
    assert result.status == 0
    assert "warning: freeze_head: the head thaws in epoch 20" in result.out


def test_check_takes_recipes_files_and_the_plain_baseline(cli: Cli, tmp_path: Path) -> None:
    assert json.loads(cli("plugins", "check", "--config", "document_weak_d", "--json").out)["order"] == [
        "d_lr_ratio",
        "d_skip",
        "label_smoothing",
    ]
    path = tmp_path / "mine.toml"
    path.write_text('[run]\nmodel = "points"\nplugins = ["d_skip"]\n[d_skip]\naccuracy_above = 0.8\n')
    mine = json.loads(cli("plugins", "check", "--config", path, "--json").out)
    assert (mine["model"], mine["reads"]) == ("points", {"d_skip": ["d_acc"]})
    assert "plugins: none (the plain baseline)" in cli("plugins", "check", "", "--config", path).out


# Refusals.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "dynamic_lamda"], "unknown plugin 'dynamic_lamda': did you mean dynamic_lambda?"),
        (["check", "d_skp,d_lr_ratio"], "unknown plugin 'd_skp': did you mean d_skip?"),
        (["check", "nothing_like_it"], "unknown plugin 'nothing_like_it': known are adaptive_augment, "),
        (
            ["check", "dynamic_lambda", "--set", "dynamic_lambda.inital=0.2"],
            "dynamic_lambda.inital: no such setting: did you mean initial? (plugin dynamic_lambda of balancer 0.1.0)",
        ),
        (["check", "d_skip", "--set", "d_skip.every=0"], "d_skip.every: input should be greater than or equal to 1"),
        (["check", "d_skip", "--set", "train.lambda_adv=nan"], "train.lambda_adv: input should be a finite number"),
        (["check", "d_skip", "--set", "every=2"], "--set 'every=2': expected NAME.KEY=VALUE"),
        (["check", "d_lr_ratio", "--set", "d_skip.every=2"], "add d_skip to --plugins"),
        (["check", "lambda_schedule,lambda_schedule"], "plugin lambda_schedule is named twice"),
        (["check", "d_skip", "--model", "pionts"], "unknown model 'pionts': did you mean points?"),
        (["check", "--config", "documnet"], "did you mean document?"),
        (["check", "--config", "gone.toml"], "config gone.toml: no such file"),
        (
            ["check", "label_smoothing", "--model", "points", "--set", "model.adversarial=hinge"],
            "the hinge loss has no labels to smooth",
        ),
        (
            ["check", "freeze_head", "--model", "points", "--set", "model.head=false"],
            "D of model points has no head that may be frozen",
        ),
        (
            ["check", "freeze_head", "--model", "points", "--set", "freeze_head.head=catagory"],
            "freeze_head.head = 'catagory': model points has no such head of D; known are category",
        ),
    ],
)
def test_a_refusal_is_one_line_and_status_2(cli: Cli, arguments: list[str], words: str) -> None:
    assert words in refusal(cli("plugins", *arguments))


OWNER = """
from balancer import Plugin, PluginConfig

class Owner(Plugin):
    name = "owner"
    writes = {"lambda_adv": ("set",)}

class Needy(Plugin):
    name = "needy"

    class Config(PluginConfig):
        threshold: float
"""
ENTRY_POINTS = """[balancer.plugins]
owner = third_party_rival:Owner
needy = third_party_rival:Needy
absent = third_party_gone:Absent
misnamed = third_party_rival:Owner
d_skip = third_party_rival:Owner
"""


@pytest.fixture
def rival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another distribution on the path, as an installed wheel would be."""
    (tmp_path / "third_party_rival.py").write_text(OWNER)
    info = tmp_path / "rival-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "third_party_rival", raising=False)


@pytest.mark.usefixtures("rival")
def test_two_owners_of_a_knob_are_refused_with_both_names(cli: Cli) -> None:
    words = "plugins dynamic_lambda and owner both set lambda_adv: a knob has one owner; leave one of them out"
    assert refusal(cli("plugins", "check", "owner,dynamic_lambda")) == words


@pytest.mark.usefixtures("rival")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "absent",
            "plugin absent of distribution rival 2.0 cannot be imported from third_party_gone:Absent: "
            "ModuleNotFoundError: No module named 'third_party_gone'",
        ),
        ("misnamed", "its class calls itself 'owner'; entry point and class must agree"),
        ("d_skip", "plugin d_skip is brought by balancer 0.1.0 and rival 2.0: uninstall one of them"),
        ("needy", "needy.threshold: field required (plugin needy of rival 2.0)"),
    ],
)
def test_a_broken_distribution_is_named_and_harms_nobody_who_did_not_name_it(cli: Cli, name: str, words: str) -> None:
    assert words in refusal(cli("plugins", "check", name))
    assert cli("plugins", "check", "dynamic_lambda,d_lr_ratio").status == 0
    listed = [row["name"] for row in json.loads(cli("plugins", "list", "--json").out)["plugins"]]
    assert listed == sorted([*BUILT_IN, "owner", "needy", "absent", "misnamed", "d_skip"])


@pytest.mark.usefixtures("rival")
def test_a_plugin_with_a_setting_that_has_no_default_can_be_shown(cli: Cli) -> None:
    result = cli("plugins", "show", "needy")
    assert result.status == 0
    assert 'needy.threshold = "required"  [float]' in result.out


BROKEN_RECIPES = "[balancer.recipes]\nrival = third_party_gone\n"


@pytest.mark.usefixtures("rival")
def test_recipes_of_a_broken_distribution_harm_nobody(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rival-2.0.dist-info" / "entry_points.txt").write_text(BROKEN_RECIPES)
    assert cli("plugins", "list").status == 0
    assert cli("plugins", "check", "--config", "document").status == 0
