"""`balancer explain` and `balancer replay` as people use them, on a real run and on somebody's log."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

import balancer
from balancer.record.signals import read_signals

Cli = Callable[..., Any]
CASE = Path(__file__).parents[3] / "docs" / "case.log"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real run of the points model with a band law, a schedule and a slower D."""
    from balancer.record.run_config import make_config, parse_set
    from balancer.train.run import train

    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = [
        "train.steps=40",
        "train.threads=1",
        "dynamic_lambda.warmup_steps=5",
        "lambda_schedule.steps=[[0, 0.55]]",
    ]
    plugins = ["dynamic_lambda", "lambda_schedule", "d_lr_ratio"]
    made = make_config({}, parse_set(settings), plugins=plugins, model="points")
    train(made, out=folder, resume=None, quiet=True)
    return folder


def test_a_step_is_explained(run: Path, cli: Cli) -> None:
    made = cli("explain", run, "--step", 30)
    assert made.status == 0, made.err
    value = read_signals(run)["lambda_adv"][30]
    assert f"lambda_adv = {value:g} " in made.out
    assert "dynamic_lambda" in made.out and "at most 0.55 (lambda_schedule)" in made.out
    assert "d_adv held at " in made.out and ": 0.35 -> lambda_adv 0.35" in made.out
    assert "d_lr_ratio makes it 0.25 · lr_g" in made.out


def test_a_range_is_explained_as_data(run: Path, cli: Cli) -> None:
    made = cli("explain", run, "--step", "0:39", "--json")
    assert made.status == 0, made.err
    data = json.loads(made.out)
    assert (data["first"]["step"], data["last"]["step"]) == (0, 39)
    knobs = {knob["knob"]: knob["effective"] for knob in data["last"]["knobs"]}
    assert knobs["lambda_adv"] == read_signals(run)["lambda_adv"][39]
    lines = (run / "decisions.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(data["decisions"]) == len(lines)


@pytest.mark.parametrize(
    "step, words", [("40", "has recorded steps 0 to 39"), ("x", "expected a step"), ("9:3", "comes first"), ("-1", "")]
)
def test_steps_that_are_none_are_refused(run: Path, step: str, words: str, cli: Cli) -> None:
    made = cli("explain", run, f"--step={step}")
    assert made.status == 2
    assert words in made.err and made.err.count("\n") == 1


def test_its_own_plugins_replayed_do_what_they_did(run: Path, cli: Cli) -> None:
    made = cli("replay", run)
    assert made.status == 0, made.err
    assert "differs" not in made.out
    assert "with other knobs it would have measured others" in made.out


def test_a_recipe_and_settings_are_replayed_into_a_table(run: Path, tmp_path: Path, cli: Cli) -> None:
    path = tmp_path / "knobs.csv"
    made = cli("replay", run, "--config", "document_dynamic", "--set", "dynamic_lambda.preset=three_bands",
               "--set", "dynamic_lambda.warmup_steps=0", "--csv", path)  # fmt: skip
    assert made.status == 0, made.err
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(40))
    # The law worked out here, from what the run measured.
    expected = [0.2 if d < 0.05 else 0.4 if d < 0.15 else 0.6 for d in read_signals(run)["d_adv"]]
    assert [float(row["lambda_adv"]) for row in rows] == expected


def test_somebodys_log_is_replayed(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "lambda.csv"
    made = cli("replay", CASE, "--plugins", "dynamic_lambda,lambda_schedule", "--csv", path,
               "--set", "dynamic_lambda.warmup_steps=0")  # fmt: skip
    assert made.status == 0, made.err
    assert "the log holds one step in 100" in made.out
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60 and int(rows[0]["step"]) == 64010
    # The schedule caps the lowest band: 0.1 in the first five epochs of the log, by its own count of them.
    assert {row["lambda_adv"] for row in rows} <= {"0.1", "0.2"}
    steps = np.array([int(row["step"]) for row in rows])
    assert (np.diff(steps) > 0).all()


HINDSIGHTS: list[tuple[Any, ...]] = [
    ("explain", "--step", 31),
    ("explain", "--step", "0:39"),
    ("replay",),
    ("replay", "--plugins", "d_skip,lambda_schedule"),
]


@pytest.mark.parametrize("command", HINDSIGHTS)
def test_chinese_is_spoken_with_the_same_figures(run: Path, command: tuple[Any, ...], cli: Cli) -> None:
    english, chinese = (cli(command[0], run, *command[1:], "--lang", lang) for lang in ("en", "zh-TW"))
    assert chinese.status == 0, chinese.err
    figures = [sorted(re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?%?", made.out)) for made in (english, chinese)]
    assert figures[0] == figures[1]
    # Left in English are names, operations and values, and the sentences that plugins bring.
    told = re.sub(r"^警告：.*$", "", chinese.out.replace(str(run), ""), flags=re.MULTILINE)
    assert not re.search(r"\b(the|step|steps|since|read|on|of|held|to|with|would|base|note|in|is)\b", told)


@pytest.mark.parametrize("command", HINDSIGHTS)
def test_data_has_the_same_keys_in_both_languages(run: Path, command: tuple[Any, ...], cli: Cli) -> None:
    def without_sentences(data: Any) -> Any:
        if isinstance(data, dict):
            return {key: without_sentences(one) for key, one in data.items() if key not in ("how", "when", "remarks")}
        return [without_sentences(one) for one in data] if isinstance(data, list) else data

    english, chinese = (
        json.loads(cli(command[0], run, *command[1:], "--json", "--lang", lang).out) for lang in ("en", "zh-TW")
    )
    assert without_sentences(english) == without_sentences(chinese)
    assert command[0] == "replay" or english != chinese


def test_what_stands_behind_wide_labels_begins_in_one_column(run: Path, cli: Cli) -> None:
    told = cli("replay", run, "--plugins", "lambda_schedule", "--lang", "zh-TW").out.splitlines()
    labelled = [re.fullmatch(r"(  (?:記錄|重播|隨步數變化)：\s+)\S.*", line) for line in told]
    assert len({cell_len(found[1]) for found in labelled if found}) == 1
    assert sum(found is not None for found in labelled) >= 4


def test_python_has_the_words_of_the_command(run: Path, cli: Cli) -> None:
    explained, replayed = balancer.explain(run, 30), balancer.replay(run, ["d_skip"])
    for lang in ("en", "zh-TW"):
        one, two = (
            cli("explain", run, "--step", 30, "--lang", lang),
            cli("replay", run, "--plugins", "d_skip", "--lang", lang),
        )
        assert (balancer.as_text(explained, lang), balancer.as_text(replayed, lang)) == (one.out, two.out)
        made = cli("explain", run, "--step", 30, "--lang", lang, "--json")
        assert json.loads(json.dumps(balancer.as_data(explained, lang))) == json.loads(made.out)
        assert balancer.as_data(replayed, lang)["steps"] == 40


@pytest.mark.parametrize("words", [("explain", "--step", "1"), ("replay",)])
def test_another_language_is_refused(run: Path, words: tuple[str, ...], cli: Cli) -> None:
    made = cli(words[0], run, *words[1:], "--lang", "fr")
    assert (made.status, made.err) == (2, "balancer: --lang fr: known are en, zh-TW\n")


@pytest.mark.parametrize(
    "words, message",
    [
        ([CASE], "name some with --plugins"),
        (["-", "--plugins", "d_skip"], "reads a log twice"),
        ([CASE, "--plugins", "d_skip", "--set", "d_skip.accuracy_above=0.8"], "d_skip reads d_acc"),
        ([CASE, "--plugins", "d_skip", "--set", "train.lr=0.1"], "train.lambda_adv only"),
        ([CASE, "--plugins", "d_skip", "--set", "dynamic_lambda.half_life=1"], "not part of this replay"),
        (["nowhere", "--plugins", "d_skip"], "nowhere"),
    ],
)
def test_what_cannot_be_replayed_says_why(words: list[Any], message: str, cli: Cli) -> None:
    made = cli("replay", *words)
    assert made.status == 2
    assert message in made.err and made.err.count("\n") == 1
