"""What following a log costs while it grows, against reading it once, and what one look costs.

    python benchmarks/watch_cost.py --mib 200 --looks 200

Writes a log in the format of zi2zi's ports as benchmarks/read_logs.py does, in as many pieces as there are looks, into
a temporary folder, and looks at it after each piece; the writing is not counted. A look is of `Follower.look`: what is
new is read, and what was read so far is judged. Seconds are CPU seconds of the process; a single look's are the median
of 20.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from read_logs import write_log

from balancer.diagnosis.diagnose import Diagnosis, diagnose
from balancer.watching.follower import Follower

SINGLE = 20  # looks of a kind
ROWS = 100


def seconds(work: Callable[[], Diagnosis | None]) -> float:
    """CPU seconds of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def followed(whole: Path, log: Path, looks: int) -> tuple[Follower, float, float]:
    """One that followed a log to the size of another; CPU seconds of all looks, and of each in the last tenth."""
    follower, size = Follower(str(log)), whole.stat().st_size
    spent: list[float] = []
    with whole.open("rb") as source, log.open("wb") as file:
        for _ in range(looks):
            file.write(source.read(size // looks + 1))
            file.flush()
            spent.append(seconds(follower.look))
    return follower, sum(spent), statistics.mean(spent[-looks // 10 :])


def single(follower: Follower, log: Path, rows: list[bytes]) -> float:
    """CPU seconds of a look after so many rows came, the median of several."""
    spent = []
    for _ in range(SINGLE):
        with log.open("ab") as file:
            file.write(b"".join(rows))
        spent.append(seconds(follower.look))
    return statistics.median(spent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=float, default=200, help="size of the log")
    parser.add_argument("--looks", type=int, default=200, help="looks while it grows")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, log = Path(folder) / "whole.log", Path(folder) / "train.log"
        write_log(whole, int(options.mib * 2**20))
        with whole.open("rb") as file:
            file.seek(-ROWS * 400, 2)
            rows = file.readlines()[-ROWS:]
        once = seconds(lambda: diagnose(whole))
        print(f"{options.mib:g} MiB read and judged once: {once:.2f} s")
        follower, spent, last = followed(whole, log, options.looks)
        print(f"followed while it grew, {options.looks} looks: {spent:.2f} s, {spent / once:.2f} times that")
        print(f"each of the last tenth of the looks: {1000 * last:.1f} ms")
        print(f"a look at which nothing came: {1000 * single(follower, log, []):.3f} ms")
        print(f"a look at which {ROWS} rows came: {1000 * single(follower, log, rows):.1f} ms")
        print(f"a look at which one row came: {1000 * single(follower, log, rows[:1]):.1f} ms")
        follower.close()


if __name__ == "__main__":
    main()
