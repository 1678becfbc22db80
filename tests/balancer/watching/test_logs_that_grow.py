"""A log that another process writes is judged as it grows; at its end all is said of it that is said of the whole."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.growing_logs import assert_as_read_at_once, followed_while_written, rows

import balancer
from balancer.errors import ConfigError, DataError
from balancer.reading.lines import decoded
from balancer.reading.opening import open_source
from balancer.watching.follower import Follower

CASE = Path(__file__).parents[3] / "docs" / "case.log"
LONG = 6000  # rows: more than a series keeps one by one, and more than 256 KiB of text


def _csv() -> str:
    return "step,epoch,d_loss,g_loss,l1\n" + "".join(
        f"{step},{step // 50},{row['d_loss']},{row['g_loss']},{row['l1']},\n".replace(",\n", "\r\n")
        for step, row in enumerate(rows(2 * LONG))
    )


def _json_lines() -> str:  # whose last line has no end
    return "\n".join(json.dumps({"step": step, "losses": row}) for step, row in enumerate(rows(LONG)))


def _pytorch() -> str:  # as PyTorch's DCGAN example prints it; another run takes over
    def lines(count: int) -> Iterator[str]:
        for step, row in enumerate(rows(count)):
            losses = f"Loss_D: {row['d_loss']:.4f} Loss_G: {row['g_loss']:.4f} D(x): 0.5"
            yield f"[{step // 200}/30][{step % 200}/200] {losses}\n"

    return "".join(["Random Seed:  999\n", *lines(3000), "Traceback (most recent call last):\n", *lines(3500)])


def _resumed() -> str:  # goes back by 700 steps
    steps = [*range(4000), *range(3300, 6500)]
    found = rows(6500)
    return "".join(
        f"step {step}: d_loss={found[step]['d_loss']}, g_loss={found[step]['g_loss']}, and text\n" for step in steps
    )


def _bar() -> str:  # as tqdm draws it, with carriage returns
    return "".join(
        f"\r{step % 300 / 3:3.0f}%|██▌  | {step % 300}/300 [00:01<00:02, d_loss={row['d_loss']}, g={row['g_loss']}]"
        for step, row in enumerate(rows(LONG))
    )


def _ranks() -> str:
    return "".join(
        f"[rank{rank}] step {step} d_loss: {row['d_loss']} g_loss: {row['g_loss']}\n"
        for step, row in enumerate(rows(4000))
        for rank in (0, 1)
    )


def _docker() -> str:
    return "".join(
        json.dumps({"log": f"step {step} d_loss: {row['d_loss']} g_loss: {row['g_loss']}\n", "stream": "stdout"}) + "\n"
        for step, row in enumerate(rows(LONG))
    )


def _array() -> str:
    return json.dumps([{"step": step, **row} for step, row in enumerate(rows(500))], indent=1)


@pytest.mark.parametrize(
    ("name", "text", "kept"),
    [
        ("case.log", lambda: CASE.read_text(encoding="utf-8"), 60),
        ("metrics.csv", _csv, 2 * LONG),
        ("metrics.jsonl", _json_lines, LONG),
        ("train.log", _pytorch, 3500),
        ("resumed.log", _resumed, 6500),
        ("bar.log", _bar, None),
        ("ranks.log", _ranks, 4000),
        ("docker.log", _docker, LONG),
        ("history.json", _array, 500),
    ],
)
def test_at_its_end_all_is_said_that_is_said_of_the_whole(
    name: str, text: Callable[[], str], kept: int | None, tmp_path: Path
) -> None:
    diagnosis, looks = followed_while_written(tmp_path / name, text().encode())
    found = assert_as_read_at_once(diagnosis, tmp_path / name)
    assert kept is None or found["kept"] == kept
    assert looks > 15


def test_a_log_in_utf_16_too(tmp_path: Path) -> None:
    text = "".join(
        f"step {step} d_loss: {row['d_loss']} g_loss: {row['g_loss']}\n" for step, row in enumerate(rows(5000))
    )
    diagnosis, _ = followed_while_written(tmp_path / "train.log", text.encode("utf-16"))
    assert assert_as_read_at_once(diagnosis, tmp_path / "train.log")["kept"] == 5000


def test_a_line_that_is_not_whole_waits(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    lines = [f"step {step} d_loss: 0.25 g_loss: 1.5 {'.' * 80}\n" for step in range(3000)]
    path.write_text("".join(lines) + "step 3000 d_loss: 0.2", encoding="utf-8")
    follower = Follower(str(path))
    first = follower.look()
    assert first is not None and first.case.history.last_step == 2999
    with path.open("a", encoding="utf-8") as file:
        file.write("75 g_loss: 9.5\n")
    second = follower.look()
    assert second is not None
    assert second.case.history["d_loss"].values[-1] == 0.275 and second.case.history["g_loss"].high.max() == 9.5
    assert follower.look() is None
    # What was handed out goes its own way.
    assert first.case.history.last_step == 2999 and first.case.source.rows == 3000
    follower.close()


def test_only_what_is_new_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    line = f"step %d d_loss: 0.25 g_loss: 1.5 {'.' * 80}\n"
    path.write_text("".join(line % step for step in range(20_000)), encoding="utf-8")
    read: list[int] = []
    follower = Follower(str(path))
    follower.progress = read.append
    follower.look()
    assert sum(read) == path.stat().st_size
    for step in range(20_000, 20_100):
        with path.open("a", encoding="utf-8") as file:
            size = file.write(line % step)
        read.clear()
        assert follower.look() is not None
        assert sum(read) == size
    follower.close()


def test_what_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new" / "train.csv"
    follower = Follower(str(path))
    assert follower.look() is None and "No such file" in follower.waits
    path.parent.mkdir()
    path.touch()
    assert follower.look() is None and follower.waits.endswith("empty")
    path.write_text("step,d_lo", encoding="utf-8")
    assert follower.look() is None and follower.waits
    path.write_text("step,d_loss,g_loss\n", encoding="utf-8")
    assert follower.look() is None and "without a row" in follower.waits
    path.write_text("step,d_loss,g_loss\n0,0.5,1.5\n", encoding="utf-8")
    found = follower.look()
    assert found is not None and found.case.source.rows == 1 and not follower.waits
    follower.close()


def test_what_will_be_no_log_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tee"):
        Follower("-").look()
    (tmp_path / "model.pth").write_bytes(b"PK\x03\x04" + bytes(5000))
    with pytest.raises(DataError, match="zip archive"):
        Follower(str(tmp_path / "model.pth")).look()
    with pytest.raises(ConfigError, match="group"):
        path = tmp_path / "a.log"
        path.write_text("step 1 d_loss: 1\n", encoding="utf-8")
        Follower(str(path), pattern="step").look()
    with pytest.raises(DataError, match="nothing was written"):
        Follower(str(tmp_path / "never.log")).end()


def test_a_name_that_the_log_never_holds_is_an_error_at_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("step,d_loss,g_loss\n0,0.5,1.5\n", encoding="utf-8")
    follower = Follower(str(path), tags={"adv": "cheat"})
    assert follower.look() is None and "--tag adv=cheat" in follower.waits
    with pytest.raises(ConfigError, match="--tag adv=cheat"):
        follower.end()


def test_from_python_each_diagnosis_comes_as_it_is_made(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    said: list[str] = []
    watched = balancer.watch(path, every=0.01, idle=0.3, waits=lambda why: (said.append(why), path.write_text(text)))
    text = "step,d_loss,g_loss\n" + "".join(f"{step},{row['d_loss']},1.5\n" for step, row in enumerate(rows(50)))
    first = next(watched)
    assert len(said) == 1 and first.case.source.rows == 50
    with path.open("a", encoding="utf-8") as file:
        file.write("50,0.5,1.5")
    *_, last = watched
    assert balancer.as_data(last) == balancer.as_data(balancer.diagnose(path)) and last.case.source.rows == 51


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", _csv), ("a.jsonl", _json_lines), ("a.log", _resumed), ("docker.log", _docker)]
)
def test_a_log_read_at_once_never_pauses(name: str, text: Callable[[], str], tmp_path: Path) -> None:
    path = tmp_path / name
    # A block of Docker's lines that hold no text.
    empty = json.dumps({"log": 1, "stream": "stdout"}) + "\n" if name == "docker.log" else ""
    path.write_text(text() + empty * 100_000, encoding="utf-8")
    for step, row in open_source(str(path)).rows():
        assert step >= 0 and row


def test_half_a_letter_is_no_pause() -> None:
    pieces = [bytes([byte]) for byte in "步 1 d_loss: 0.5\n".encode()]
    assert all(text for text in decoded(pieces))
    assert "".join(decoded(pieces)) == "步 1 d_loss: 0.5\n"
    assert list(decoded([b"a", b"", b"b"])) == ["a", "", "b"]


def test_a_process_that_dies_leaves_no_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    code = f"import os; open({str(path)!r}, 'wb', buffering=0).write(b'step 1 d_loss: 0.5 g_lo'); os._exit(9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    follower = Follower(str(path))
    follower.look()
    assert_as_read_at_once(follower.end(), path)
