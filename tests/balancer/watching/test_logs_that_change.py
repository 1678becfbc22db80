"""A log goes on where its file is rotated, cut, replaced by a copy or written anew; event files and runs too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support import event_files
from support.growing_logs import assert_as_read_at_once, rows
from support.point_runs import ran, resumed

from balancer.diagnosis.diagnose import Diagnosis
from balancer.watching.follower import Follower


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "train.log"


@pytest.fixture
def follower(log: Path) -> Iterator[Follower]:
    followed = Follower(str(log))
    yield followed
    followed.close()


MOST = 10_000


def lines(steps: Sequence[int], of: int = 0) -> str:
    found = rows(MOST, seed=of)
    return "".join(
        f"step {step} d_loss: {found[step]['d_loss']} g_loss: {found[step]['g_loss']} ok\n" for step in steps
    )


def write(path: Path, text: str, mode: str = "a") -> None:
    with path.open(mode, encoding="utf-8") as file:
        file.write(text)


def looked(follower: Follower) -> Diagnosis:
    found = follower.look()
    assert found is not None
    return found


# With a history below what settles the form of the lines, and above it.
SIZES = pytest.mark.parametrize("first", [300, 9000])


@SIZES
def test_a_rotated_log_is_read_to_its_end_and_goes_on_in_the_new_file(
    first: int, follower: Follower, log: Path, tmp_path: Path
) -> None:
    write(log, lines(range(first)))
    looked(follower)
    write(log, lines(range(first, first + 50)) + "step")  # which nothing follows
    log.rename(tmp_path / "train.log.1")
    assert looked(follower).case.history.last_step == first + 49
    write(log, lines(range(first + 50, first + 90)))
    found = looked(follower)
    assert found.case.source.rows == found.case.source.kept == first + 90
    assert found.case.history.last_step == first + 89
    assert found.case.source.restarts == []
    with_both = tmp_path / "both.log"
    with_both.write_bytes((tmp_path / "train.log.1").read_bytes() + b"\n" + log.read_bytes())
    assert_as_read_at_once(follower.end(), with_both)


@SIZES
def test_a_log_that_is_copied_and_cut_goes_on(first: int, follower: Follower, log: Path) -> None:
    write(log, lines(range(first)))
    looked(follower)
    write(log, "", "w")
    assert follower.look() is None
    write(log, lines(range(first, first + 40)))
    found = looked(follower)
    assert found.case.source.kept == first + 40 and found.case.source.restarts == []


@SIZES
@pytest.mark.parametrize("longer", [False, True])
def test_a_run_that_begins_its_log_anew_supersedes_the_one_before(
    first: int, longer: bool, follower: Follower, log: Path
) -> None:
    write(log, lines(range(first)))
    looked(follower)
    # Longer than the log before: it was cut and has grown beyond the place that was reached.
    count = first + 100 if longer else 60
    write(log, lines(range(count), of=1), "w")
    found = looked(follower)
    assert (found.case.source.rows, found.case.source.kept) == (first + count, count)
    assert found.case.history.last_step == count - 1
    d_loss = found.case.history["d_loss"]
    begun = [row["d_loss"] for row in rows(MOST, seed=1)[: d_loss.span]]
    assert d_loss.values[0] == pytest.approx(sum(begun) / len(begun))


@SIZES
def test_a_newer_copy_in_its_place_is_the_same_log(first: int, follower: Follower, log: Path, tmp_path: Path) -> None:
    def copied(count: int) -> None:  # as rsync does
        write(tmp_path / "copy", lines(range(count)), "w")
        (tmp_path / "copy").replace(log)

    copied(first)
    looked(follower)
    copied(first + 30)
    found = looked(follower)
    assert found.case.source.rows == found.case.source.kept == first + 30
    # As scp does: the same from the beginning.
    whole = lines(range(first + 60))
    write(log, whole[: len(whole) // 2], "w")
    assert follower.look() is None
    write(log, whole[len(whole) // 2 :])
    assert looked(follower).case.source.kept == first + 60
    assert_as_read_at_once(follower.end(), log)


def test_a_table_with_other_columns_is_another_log(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    follower = Follower(str(path))
    write(path, "step,d_loss,g_loss\n" + "".join(f"{step},0.5,{step}.25\n" for step in range(30_000)))
    looked(follower)
    write(path, "step,epoch,g_loss,d_loss\n" + "".join(f"{step},0,1.5,0.25\n" for step in range(30)), "w")
    found = looked(follower)
    assert found.case.source.rows == 30 and found.case.history["d_loss"].values.tolist() == [0.25] * 30
    assert_as_read_at_once(follower.end(), path)


def test_a_table_that_is_cut_goes_on_below_its_header(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    follower = Follower(str(path))
    write(path, "step,d_loss,g_loss\n" + "".join(f"{step},0.5,{step}.25\n" for step in range(30_000)))
    looked(follower)
    write(path, "".join(f"{step},0.5,1.25\n" for step in range(30_000, 30_020)), "w")
    assert looked(follower).case.source.kept == 30_020
    follower.close()


def test_a_file_that_is_gone_is_waited_for(follower: Follower, log: Path) -> None:
    write(log, lines(range(100)))
    looked(follower)
    log.unlink()
    assert follower.look() is None and follower.look() is None
    write(log, lines(range(100, 150)))
    assert looked(follower).case.source.kept == 150


def test_json_that_is_written_as_a_whole_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    follower = Follower(str(path))
    for count in (30, 60):
        write(path, '[{"step": 0, "d_loss": ', "w")
        assert follower.look() is None and follower.waits
        found = [f'{{"step": {step}, "d_loss": {row["d_loss"]}, "g_loss": 1}}' for step, row in enumerate(rows(count))]
        write(path, "[" + ",\n".join(found) + "]", "w")
        assert looked(follower).case.source.rows == count
        assert follower.look() is None
    assert_as_read_at_once(follower.end(), path)


def test_event_files_come_one_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    follower = Follower(str(folder))
    assert follower.look() is None
    whole = event_files.write(tmp_path / "events.out.tfevents.1", event_files.losses(0, 21_000)).read_bytes()
    assert len(whole) > 2 << 20
    folder.mkdir()
    assert follower.look() is None and "event files" in follower.waits
    looks = 0
    with (folder / "events.out.tfevents.1").open("wb") as file:
        for at in range(0, len(whole), 100_001):
            file.write(whole[at : at + 100_001])
            file.flush()
            looks += follower.look() is not None
    assert looks > 20
    assert follower.look() is None
    event_files.write(folder / "events.out.tfevents.2", event_files.losses(20_000, 22_000), began=60_000)
    assert looked(follower).case.source.restarts == [(20_999, 20_000)]
    found = assert_as_read_at_once(follower.end(), folder)
    assert found["rows"] == 23_000 and found["signals"]["d_loss"]["count"] == 22_000


def test_event_files_that_are_cut_are_read_anew(tmp_path: Path) -> None:
    follower = Follower(str(tmp_path))
    path = event_files.write(tmp_path / "events.out.tfevents.1", event_files.losses(0, 9000))
    assert looked(follower).case.history.last_step == 8999
    event_files.write(path, event_files.losses(0, 4000))
    assert looked(follower).case.history.last_step == 3999
    assert_as_read_at_once(follower.end(), tmp_path)


def test_a_run_of_ours_is_followed_and_so_is_its_resume(tmp_path: Path) -> None:
    made, folder = ran(tmp_path / "made", "dynamic_lambda", steps=40), tmp_path / "run"
    signals = (made / "signals.bin").read_bytes()
    follower = Follower(str(folder))
    folder.mkdir()
    assert follower.look() is None
    shutil.copytree(made, folder, dirs_exist_ok=True)
    looks = 0
    # As a run writes them: row after row, of which the last one may not be whole.
    (folder / "signals.bin").write_bytes(b"")
    with (folder / "signals.bin").open("ab", buffering=0) as file:
        for at in range(0, len(signals), 1001):
            file.write(signals[at : at + 1001])
            found = follower.look()
            looks += found is not None
    assert looks > 2 and found is not None and found.case.source.rows == 40
    resumed(folder, None, ["train.lr=5e-3"], 60)
    assert looked(follower).case.history.last_step == 59
    assert follower.look() is None
    assert_as_read_at_once(follower.end(), folder)
