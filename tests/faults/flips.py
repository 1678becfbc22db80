"""One flipped bit in any file of a run: it is said, or it changes nothing; and what it does not hit is still used.

Most trials read the file as commands do, in this process; some go on with the run, in a process of its own.
"""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from support.checkpoint_states import same
from support.resumed_runs import final_state, scalars

from balancer import read_signals
from balancer.errors import BalancerError
from balancer.page.sheets import page_sheets
from balancer.reading.opening import open_source
from balancer.record import checkpoint
from balancer.record.compositions import read_compositions
from balancer.record.decisions import read_decisions, read_notes
from balancer.record.recorder import Recorder
from faults import runs

STEPS, ONWARD = 24, 30
NEW = (
    "train", "--model", "points", "--plugins", "dynamic_lambda,d_skip", "--device", "cpu", "--quiet", "--steps", STEPS,
    "--set", "train.batch_size=64", "--set", "train.log_every=1", "--set", "train.checkpoint_every=8",
    "--set", "train.keep=2", "--set", "train.sheet_every=8", "--set", "d_skip.every=3",
    "--set", "dynamic_lambda.warmup_steps=3", "--set", "dynamic_lambda.bands=[[0.66, 0.2], [0.69, 0.4]]",
)  # fmt: skip

# What was read, in pieces that can be counted, and whether something was said of damage.
Read = tuple[Counter[str], bool]


class Flips:
    """Trials on one small run beneath a folder."""

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self.run = folder / "flipped"
        self._whole, self._onward = folder / "undamaged", folder / "onward"
        ended = runs.command(*NEW, "--out", self._whole)
        assert (ended.status, ended.err) == (0, ""), ended
        _draw(self._whole / "sheets", self._random)
        shutil.copytree(self._whole, self._onward)
        ended = runs.command(*self._resume(self._onward))
        assert (ended.status, ended.err) == (0, ""), "undamaged, a run goes on without a word"
        shutil.copytree(self._whole, self.run)
        self.names = sorted(
            str(path.relative_to(self.run)) for path in self.run.rglob("*") if path.is_file() and path.stat().st_size
        )
        self._read = {name: _look(self.run, name) for name in self.names}
        assert not any(said for _, said in self._read.values())

    def rows(self, flips: int, resumes: int, names: Sequence[str] = ()) -> Iterator[tuple[str, int, list[str]]]:
        """Of each file (or of these) its name, how many trials there were, and each that was lost in a sentence."""
        for name in names or self.names:
            lost = [found for _ in range(flips) if (found := self._flipped(name, self._looked_at))]
            lost += [found for _ in range(resumes) if (found := self._flipped(name, self._gone_on))]
            yield name, flips + resumes, lost

    def _flipped(self, name: str, trial: Callable[[str], str]) -> str:
        path = self.run / name
        whole = path.read_bytes()
        bit = self._random.randrange(8 * len(whole))
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            lost = trial(name)
        finally:
            path.write_bytes(whole)
        return f"bit {bit} of {name}: {lost}" if lost else ""

    def _looked_at(self, name: str) -> str:
        whole, _ = self._read[name]
        try:
            read, said = _look(self.run, name)
        except BalancerError as error:
            # A file of rows is not given up for one of them.
            return f"nothing of it is used: {error}" if _of_rows(name) else ""
        if read == whole:
            return ""
        if not said:
            return "it is read otherwise, and nothing is said"
        if not _of_rows(name):
            return ""
        if read - whole:
            return f"what it never held is read: {read - whole}"
        # A line end that is hit makes two lines one.
        return "" if (whole - read).total() <= 2 else f"lost are {whole - read}"

    def _gone_on(self, name: str) -> str:
        folder = self.run.with_name("gone on")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.run, folder)
        ended = runs.command(*self._resume(folder))
        if ended.status not in (0, 2) or "Traceback" in ended.err:
            return f"exit status {ended.status}: {ended.err[-300:]}"
        if ended.status == 2:
            return f"it does not go on: {ended.err}" if _of_rows(name) else ""
        if not same(final_state(folder), final_state(self._onward)):
            return f"other weights: {ended.err}"
        if name.startswith("sheets/"):  # which a resume leaves as they are
            return ""
        if not ended.err and (difference := runs.differs(folder, self._onward)):
            return f"{difference} differ, and nothing is said"
        lost = Counter(_points(self._onward)) - Counter(_points(folder))
        return "" if len({step for _, step, _ in lost}) <= 1 else f"points of TensorBoard are lost: {len(lost)}"

    @staticmethod
    def _resume(folder: Path) -> tuple[object, ...]:
        return "train", "--resume", folder, "--steps", ONWARD, "--quiet"


def _draw(sheets: Path, random: random.Random) -> None:
    """A sheet, which the points model draws none of."""
    sheets.mkdir()
    Image.frombytes("L", (64, 32), random.randbytes(2048)).save(sheets / "step_00000008.png")


def _of_rows(name: str) -> bool:
    return name in ("signals.bin", "decisions.jsonl") or "tfevents" in name


def _points(folder: Path) -> Iterator[tuple[str, int, float]]:
    for tag, points in scalars(folder).items():
        yield from ((tag, *point) for point in points)


def _look(run: Path, name: str) -> Read:
    """Read a file of the run as commands do."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if name.startswith("signals."):
            columns = read_signals(run)
            read = [repr(list(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]
        elif name == "decisions.jsonl":
            read = [repr(one) for entries in (read_decisions(run), read_notes(run)) for one in entries]
        elif name == "compositions.jsonl":
            read = [repr(one) for one in read_compositions(run)]
        elif name.endswith(".toml"):
            source = open_source(str(run)).source
            return Counter([json.dumps(source.config)]), bool(caught or source.unread.count)
        elif "tfevents" in name:
            read, said = _events(run, name)
            return Counter(read), said or bool(caught)
        elif name.startswith("sheets/"):
            sheets, _, unreadable = page_sheets(run, None)
            return Counter(sheet.uri for sheet in sheets), bool(unreadable)
        elif name.startswith("checkpoints/"):
            loaded = checkpoint.load_latest(run / "checkpoints", at=int(name.split("/")[1].removeprefix("step_")))
            read = [_plain(loaded.state)]
        else:
            read = []  # nobody reads the lock and traces of the process that held it
    return Counter(read), bool(caught)


def _events(run: Path, name: str) -> tuple[list[str], bool]:
    """The scalars as a diagnosis reads them, and all that a resume at the end of the run keeps."""
    reader = open_source(str(run / name))
    rows = [repr((step, item)) for step, row in reader.rows() for item in row.items()]
    copy = run.with_name("cut")
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    shutil.copy(run / name, copy)
    recorder = Recorder(copy, 1)
    recorder.cut(STEPS + 1)
    kept = _records(copy / name)
    return [*dict.fromkeys(rows), *kept], bool(reader.source.unread.count)


def _records(path: Path) -> list[str]:
    from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader

    return [repr(raw) for raw in RawEventFileLoader(str(path)).Load()]


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return repr({key: _plain(item) for key, item in value.items()})
    return repr(value.tolist()) if hasattr(value, "tolist") else repr(value)
