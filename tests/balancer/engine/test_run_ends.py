"""The last moment of a run: it reaches every plugin, and the first error of a run is the one that is raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from balancer import Balancer, Plugin, RunInfo, StepContext, hookimpl
from balancer.errors import PluginError
from balancer.testing import toy_trainer
from balancer.train.progress import Progress

ENDS: list[tuple[str, str | None]] = []


class Ends(Plugin):
    """Writes down that it was called at the end."""

    name = "z_ends"

    @hookimpl
    def on_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        ENDS.append((self.name, None if error is None else type(error).__name__))


class FailsAtTheEnd(Ends):
    """Fails there, and before the others."""

    name = "a_fails"

    @hookimpl
    def on_run_end(self, run: RunInfo, error: BaseException | None) -> None:
        ENDS.append((self.name, None if error is None else type(error).__name__))
        raise OSError("cannot upload")


class FailsToo(FailsAtTheEnd):
    name = "b_fails"


class Breaks(Plugin):
    """Fails in a step."""

    name = "m_breaks"

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        if ctx.step == 1:
            raise ValueError("the real cause")


@pytest.fixture(autouse=True)
def nothing_ended() -> None:
    ENDS.clear()


def ended(folder: Path, *plugins: type[Plugin]) -> BaseException:
    trainer = toy_trainer(list(plugins), {"model": {"points": 64}}, folder)
    with pytest.raises(PluginError) as caught:
        trainer.run(2, Progress(2, quiet=True))
    return caught.value


def test_an_error_at_the_end_is_raised_after_every_plugin_was_reached(tmp_path: Path) -> None:
    error = ended(tmp_path, FailsAtTheEnd, FailsToo, Ends)
    assert ENDS == [("a_fails", None), ("b_fails", None), ("z_ends", None)]
    assert str(error).startswith(f"plugin a_fails of class {__name__}, hook on_run_end, step 2: OSError: cannot upload")
    (note,) = error.__notes__
    assert note.startswith(f"then: plugin b_fails of class {__name__}, hook on_run_end, step 2: OSError: cannot upload")
    assert (tmp_path / "checkpoints" / "step_00000002").is_dir()
    kept = (tmp_path / "traceback.txt").read_text(encoding="utf-8")
    assert kept.count("OSError: cannot upload") == 2


def test_it_does_not_mask_the_error_that_ended_the_run(tmp_path: Path) -> None:
    error = ended(tmp_path, FailsAtTheEnd, Breaks, Ends)
    assert ENDS == [("a_fails", "PluginError"), ("z_ends", "PluginError")]
    assert "plugin m_breaks" in str(error)
    assert "ValueError: the real cause" in str(error)
    assert error.__notes__[0].startswith(f"then: plugin a_fails of class {__name__}, hook on_run_end, step 1: ")
    kept = (tmp_path / "traceback.txt").read_text(encoding="utf-8")
    assert kept.index("the real cause") < kept.index("cannot upload")


def test_the_traceback_of_an_earlier_end_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "traceback.txt").write_text("of an earlier end", encoding="utf-8")
    ended(tmp_path, FailsAtTheEnd)
    assert "of an earlier end" not in (tmp_path / "traceback.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("own", [RuntimeError("the script's own"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_of_the_script_is_raised_as_it_is(own: BaseException) -> None:
    with pytest.raises(type(own)) as caught, Balancer([FailsAtTheEnd, Ends]) as balance:
        balance.start_step(epoch=0)
        raise own
    assert caught.value is own
    assert [name for name, _ in ENDS] == ["a_fails", "z_ends"]
    assert "plugin a_fails" in caught.value.__notes__[0]


def test_a_script_may_catch_it_and_finds_the_original_in_it() -> None:
    balance: Any = Balancer([Breaks])
    with balance:
        for step in range(3):
            balance.start_step(epoch=0)
            if step != 1:
                balance.after_d_step()
                continue
            with pytest.raises(PluginError) as caught:
                balance.after_d_step()
            assert isinstance(caught.value.__cause__, ValueError)
    assert balance.step == 3
