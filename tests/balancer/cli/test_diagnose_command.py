"""`balancer diagnose` as people use it: on logs and runs, in scripts, with its remedies carried out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from support.histories import document_signals, healthy_signals, run_of

from balancer.cli.app import app
from balancer.diagnosis.remedies import REMEDIES

Cli = Callable[..., Any]
CASE = Path(__file__).parents[3] / "docs" / "case.log"


@pytest.fixture
def run(tmp_path: Path, cli: Cli) -> Path:
    """A real run of the points model whose D wins: G hardly learns."""
    folder = tmp_path / "run"
    options = ["train.threads=1", "train.lr=1e-5", "train.lr_d=2e-2", "train.checkpoint_every=30"]
    flags = [word for option in options for word in ("--set", option)]
    made = cli("train", "--model", "points", "--plugins", "", "--steps", 60, "--out", folder, "--quiet", *flags)
    assert made.status == 0, made.err
    return folder


def table(path: Path, rows: list[tuple[float, dict[str, float]]]) -> Path:
    names = list(rows[0][1])
    lines = [",".join(["step", *names])]
    lines += [",".join([f"{step:.0f}", *(f"{row[name]:.6f}" for name in names)]) for step, row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_source_documents_case_is_diagnosed_from_its_log(cli: Cli) -> None:
    made = cli("diagnose", CASE, "--items", 6645, "--json")
    assert made.status == 0, made.err
    data = json.loads(made.out)
    assert (data["family"], data["format"], data["rows"]) == ("zi2zi", "fork", 60)
    assert data["steps"] == [64010, 64010 + 11 * 416 + 400]
    found = [(finding["rule"], finding["variant"]) for finding in data["findings"]]
    assert found == [
        ("saturated", "lasting"), ("starved", ""), ("adv_share", "rises"), ("cheat_rising", ""),
        ("g_loss_rising", "adv"), ("learning_rate", "equal"), ("compromise", "share"),
    ]  # fmt: skip
    # The document's remedies all have their numbers; none by which G hears less of D comes first.
    remedies = {remedy["name"]: remedy["number"] for remedy in data["findings"][0]["remedies"]}
    assert next(iter(remedies)) == "raise_lambda" and {12, 7, 8, 9, 10} <= {*remedies.values()}
    remarks = {remark["rule"]: remark for remark in data["remarks"]}
    assert remarks["category_zero"]
    fit = remarks["weights_fit"]
    assert fit["variant"] == "fit_90_5"
    assert "90" in fit["title"] and "100" in fit["title"]
    assert "52.9 M" in remarks["generator_size"]["text"] and "86.7" in remarks["generator_size"]["text"]
    assert data["verdict"]["variant"] == "rescue_held"
    assert data["units"]["weights"]["l1"] == 90 and data["units"]["weights"]["const"] == 5


def test_standard_input_works_in_a_pipe() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "balancer", "diagnose", "-"], input=CASE.read_bytes(), capture_output=True, check=True
    )
    assert "D is saturated" in ran.stdout.decode()


def test_nothing_is_found_in_a_healthy_table(tmp_path: Path, cli: Cli) -> None:
    made = cli("diagnose", table(tmp_path / "log.csv", run_of(healthy_signals)), "--fail-on", "any")
    assert made.status == 0
    assert "No problem found" in made.out


@pytest.mark.parametrize(
    "names, status",
    [("saturated", 1), ("saturated.lasting", 1), ("saturated.passed", 0), ("divergence", 0), ("any", 1)],
)
def test_scripts_get_an_exit_status(names: str, status: int, cli: Cli) -> None:
    assert cli("diagnose", CASE, "--fail-on", names).status == status


def test_chinese_is_spoken(cli: Cli) -> None:
    made = cli("diagnose", CASE, "--lang", "zh-TW")
    assert made.status == 0
    for words in ("D 已飽和", "值得繼續訓練", "文件：", "實測："):
        assert words in made.out


def test_a_page_is_written(tmp_path: Path, cli: Cli) -> None:
    page = tmp_path / "case.html"
    made = cli("diagnose", CASE, "--html", page, "--since", 66000)
    assert made.status == 0, made.err
    html = page.read_text(encoding="utf-8")
    assert "D is saturated" in html and "<svg" in html
    assert not re.search(r"(?:src|href)=.?https?:", html)


def test_a_change_is_judged(cli: Cli) -> None:
    made = cli("diagnose", CASE, "--since", 66000)
    assert made.status == 0, made.err
    assert "None of the indicators improved" in made.out
    assert "lr_D = 0.25" in made.out.split("None of the indicators")[1]


def test_weights_are_proposed(cli: Cli) -> None:
    made = cli("diagnose", CASE, "--calibrate", "--items", 6645, "--share", "adv=0.1")
    assert made.status == 0, made.err
    assert "6,645 items in batches of 16: 416 steps an epoch" in made.out
    flags = shlex.split(made.out.strip().splitlines()[-1])
    assert flags[0] == "--set" and flags[1].startswith("train.lambda_adv=")


def test_a_run_of_ours_is_diagnosed_and_its_remedies_can_be_carried_out(run: Path, cli: Cli) -> None:
    made = cli("diagnose", run, "--json")
    assert made.status == 0, made.err
    data = json.loads(made.out)
    assert data["kind"] == "run"
    saturated = data["findings"][0]
    assert (saturated["rule"], saturated["variant"]) == ("saturated", "lasting")
    assert data["units"]["weights_basis"] == "told"
    ours = [remedy["commands"] for remedy in saturated["remedies"] if not REMEDIES[remedy["name"]].elsewhere]
    commands = [command for several in ours for command in several]
    assert len(commands) == len(ours) > 1
    for command in commands[:2]:
        words = shlex.split(command)
        assert words[:4] == ["balancer", "train", "--resume", str(run)]
        carried_out = cli(*words[1:], "--quiet", "--allow-change", "train.steps")
        assert carried_out.status == 0, f"{command}: {carried_out.err}"
        break


def test_a_remedy_in_force_is_not_offered_again(tmp_path: Path, cli: Cli) -> None:
    folder = tmp_path / "run"
    options = ["train.lambda_adv=0.3", "train.lr=1e-5", "d_lr_ratio.ratio=100"]
    flags = [word for option in options for word in ("--set", option)]
    cli(
        "train",
        "--model",
        "points",
        "--plugins",
        "d_skip,d_lr_ratio",
        "--steps",
        60,
        "--out",
        folder,
        "--quiet",
        *flags,
    )
    data = json.loads(cli("diagnose", folder, "--json").out)
    offered = {remedy["name"] for finding in data["findings"] for remedy in finding["remedies"]}
    assert not offered & {"d_skip", "d_lr_ratio", "combination"}


def test_every_command_offered_for_a_log_can_be_parsed(cli: Cli) -> None:
    data = json.loads(cli("diagnose", CASE, "--json").out)
    commands = [c for finding in data["findings"] for remedy in finding["remedies"] for c in remedy["commands"]]
    commands += [found.group() for line in data["next_steps"] if (found := re.search(r"balancer zi2zi .*", line))]
    assert any("zi2zi import" in command for command in commands)
    assert len(commands) > 5
    root: Any = typer.main.get_command(app)
    for line in commands:
        words = shlex.split(line)[1:]
        with root.make_context("balancer", words, resilient_parsing=True) as context:
            name, command, rest = root.resolve_command(context, words)
            command.make_context(name, rest, resilient_parsing=True)


def test_tags_units_and_weights_can_be_told(tmp_path: Path, cli: Cli) -> None:
    rows = [
        (step, {"Loss/Dis": 2 * row["d_loss"], "Loss/Fool": row["adv"], "Loss/Pix": row["l1"]})
        for step, row in run_of(document_signals)
    ]
    log = table(tmp_path / "theirs.csv", rows)
    made = cli("diagnose", log, "--tag", "d_loss=Loss/Dis", "--tag", "adv=Loss/Fool", "--tag", "l1=Loss/Pix",
               "--d-loss", "sum", "--weight", "adv=1", "--weight", "l1=90", "--json")  # fmt: skip
    assert made.status == 0, made.err
    data = json.loads(made.out)
    assert data["tags"] == {"d_loss": "Loss/Dis", "adv": "Loss/Fool", "l1": "Loss/Pix"}
    assert data["units"]["d_scale"] == 0.5 and data["units"]["d_basis"] == "told"
    assert "adv_share" in data["signals"]


@pytest.mark.parametrize(
    "options, words",
    [
        (["--lang", "fr"], "known are en, zh-TW"),
        (["--fail-on", "satured"], "did you mean saturated?"),
        (["--tag", "d_loss"], "expected NAME=VALUE"),
        (["--weight", "l1=much"], "expected a number of at least 0"),
        (["--adversarial", "wgan"], "did you mean wasserstein?"),
        (["--d-loss", "both"], "is mean or sum"),
        (["--share", "adv=0.1"], "--share goes with --calibrate"),
        (["--since", "1"], "the log holds steps"),
        (["--checkpoint", "nowhere.pth"], "nowhere.pth"),
        (["--html", "/nowhere/page.html"], "cannot be written"),
        (["--tag", "adv=no_such_column"], "no_such_column"),
    ],
)
def test_bad_options_are_one_line(options: list[str], words: str, cli: Cli) -> None:
    made = cli("diagnose", CASE, *options)
    assert made.status == 2
    assert words in made.err and made.err.count("\n") == 1 and made.err.startswith("balancer: ")


def test_help_and_errors_do_not_import_torch() -> None:
    script = (
        "import sys; sys.argv = ['balancer', 'diagnose', sys.argv[1]]\n"
        "from balancer.cli.main import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script, str(CASE)], check=True, capture_output=True)
