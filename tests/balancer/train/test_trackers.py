"""`train.trackers`: accelerate's trackers get what TensorBoard gets, and what fails in them stops no run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, get_available_trackers
from support.point_runs import ran, resumed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from balancer.errors import ConfigError
from balancer.record.folder import EVENTS, TRACKERS
from balancer.record.run_config import make_config, parse_set, read_toml
from balancer.record.saved_run import load_run

Cli = Callable[..., Any]
SETTINGS = ("train.log_every=5", "train.trackers=notebook,broken")


class Run(NamedTuple):
    """What a notebook was told of one run."""

    project: str
    rows: dict[int, dict[str, float]]
    settings: dict[str, Any]
    ended: list[bool]


class Notebook(GeneralTracker):
    """A tracker that needs nothing: it keeps what it is told."""

    name = "notebook"
    requires_logging_directory = False
    runs: ClassVar[list[Run]] = []

    def __init__(self, project: str) -> None:
        super().__init__()
        self._run = Run(project, {}, {}, [])
        self.runs.append(self._run)

    @property
    def tracker(self) -> Run:
        return self._run

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self._run.settings.update(values)

    def log(self, values: Mapping[str, float], step: int | None = None, **kwargs: Any) -> None:
        assert step is not None and step not in self._run.rows
        self._run.rows[step] = dict(values)

    def finish(self) -> None:
        self._run.ended.append(True)


class Broken(Notebook):
    """One that fails at a moment, in the words of its own."""

    name = "broken"
    runs: ClassVar[list[Run]] = []
    at: ClassVar[Any] = None

    def start(self) -> None:
        self._fail("start")

    def log(self, values: Mapping[str, float], step: int | None = None, **kwargs: Any) -> None:
        self._fail(step)
        super().log(values, step, **kwargs)

    def finish(self) -> None:
        self._fail("finish")
        super().finish()

    def _fail(self, moment: object) -> None:
        if moment == self.at:
            raise RuntimeError("no\nnetwork")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for tracker in (Notebook, Broken):
        monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, tracker.name, tracker)
        monkeypatch.setattr(tracker, "runs", [])


def scalars(folder: Path) -> dict[int, dict[str, float]]:
    """What our own event files show, by step."""
    seen = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    rows: dict[int, dict[str, float]] = {}
    for tag in seen.Tags()["scalars"]:
        for event in seen.Scalars(tag):
            rows.setdefault(event.step, {})[tag] = event.value
    return rows


def test_they_get_every_logged_row_with_its_tags(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "d_skip", SETTINGS, steps=12)
    drawn = {step: {k: v for k, v in row.items() if "band/" not in k} for step, row in scalars(folder).items()}
    for tracker in (Notebook, Broken):
        (run,) = tracker.runs
        assert list(run.rows) == [0, 5, 10]
        assert {step: set(row) for step, row in run.rows.items()} == {step: set(row) for step, row in drawn.items()}
        assert all(run.rows[step] == pytest.approx(row, rel=1e-6) for step, row in drawn.items())
        assert (run.project, run.ended) == ("points", [True])
        assert run.settings["train.lr"] == 1e-2 and run.settings["run.folder"] == str(folder)
        assert all(isinstance(value, bool | int | float | str) for value in run.settings.values())


@pytest.mark.parametrize("moment", [0, 5, "finish"])
def test_one_that_fails_is_given_up_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: object
) -> None:
    monkeypatch.setattr(Broken, "at", moment)
    with pytest.warns(UserWarning) as caught:
        folder = ran(tmp_path / "run", "", SETTINGS, steps=16)
    (warning,) = caught
    assert str(warning.message) == "tracker broken is given up in this run: RuntimeError: no network"
    assert load_run(folder).step == 16
    assert (list(Notebook.runs[0].rows), Notebook.runs[0].ended) == ([0, 5, 10, 15], [True])
    assert Broken.runs[0].ended == []


def test_one_that_cannot_begin_is_an_error_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Broken, "at", "start")
    with pytest.raises(ConfigError, match=r"train\.trackers: notebook, broken cannot begin.*RuntimeError: no\nnetwork"):
        ran(tmp_path / "run", "", SETTINGS, steps=3)
    assert not Notebook.runs[0].rows
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(Broken, "at", None)
    assert load_run(ran(tmp_path / "run", "", SETTINGS, steps=3)).step == 3


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("MISSING", "MISSING is not installed: pip install MISSING"),
        ("notbook", "did you mean notebook?"),
        ("[3]", "string"),
    ],
)
def test_what_cannot_be_had_is_one_line_before_anything_is_made(
    tmp_path: Path, cli: Cli, asked: str, says: str
) -> None:
    available = {str(name) for name in get_available_trackers()}
    missing = next(name for name in ("aim", "clearml", "wandb", "mlflow") if name not in available)
    asked, says = (text.replace("MISSING", missing) for text in (asked, says))
    out = tmp_path / "run"
    done = cli("train", "--model", "points", "--steps", 3, "--out", out, "--set", f"train.trackers={asked}", "--quiet")
    assert done.status == 2 and done.err.count("\n") == 1 and not out.exists()
    assert done.err.startswith("balancer: train.trackers") and says in done.err


def test_a_resumed_run_is_a_further_one_there(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", SETTINGS, steps=10)
    resumed(folder, None, (), 20)
    first, second = Notebook.runs
    assert (list(first.rows), list(second.rows)) == ([0, 5], [10, 15])


def test_a_run_without_them_says_nothing_of_them_and_may_gain_them(tmp_path: Path) -> None:
    folder = ran(tmp_path / "run", "", ("train.log_every=5",), steps=10)
    assert "trackers" not in read_toml(folder / "config.toml")["train"]
    resumed(folder, None, ("train.trackers=notebook",), 20)
    assert list(Notebook.runs[0].rows) == [10, 15]
    assert read_toml(folder / "config.toml")["train"]["trackers"] == ["notebook"]
    assert make_config({}, parse_set(["train.trackers="]), plugins=[], model="points").train.trackers is None


def test_accelerate_s_own_tensorboard_lies_beside_ours(tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "run"
    options = ["--steps", 12, "--out", out, "--device", "cpu", "--quiet", "--set", "train.log_every=5"]
    done = cli("train", "--model", "points", *options, "--set", "train.trackers=tensorboard")
    assert done.status == 0, done.err
    assert len(list(out.glob(EVENTS))) == 1
    ours, theirs = scalars(out), scalars(out / TRACKERS / "points")
    assert list(theirs) == list(ours) == [0, 5, 10]
    assert theirs[5]["signal/d_adv"] == ours[5]["signal/d_adv"]
