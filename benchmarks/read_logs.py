"""What reading long logs for a diagnosis costs: a text log and an event file, against plain loops over the same.

    python benchmarks/read_logs.py --gib 1 --steps 1000000

Writes a log in the format of zi2zi's ports and an event file of TensorBoard with five tags in a record each, as
SummaryWriter writes them, into a temporary folder. Each is read by `read(open_source(...))` and by a plain loop, in
a process of its own: `for line in open(...)`, and TensorBoard's own loaders (the raw one with its records parsed, and
the one that its server uses). Seconds are CPU seconds of the reading alone; memory is the process's highest.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TAGS = ("train/d_loss", "train/g_loss", "train/adv_loss", "train/l1_loss", "train/lr")
BATCHES = 416


def write_log(path: Path, size: int) -> None:
    """A text log of that many bytes; its figures repeat every thousand rows."""
    draw = random.Random(0)
    tails = [
        f"time: {draw.uniform(1, 9999):8.2f}, d_loss: {draw.uniform(0, 2):.5f}, g_loss: {draw.uniform(20, 60):.5f}, "
        f"category_loss: {draw.uniform(0, 1):.5f}, cheat_loss: {draw.uniform(0, 9):.5f}, "
        f"const_loss: {draw.uniform(0, 1):.5f}, l1_loss: {draw.uniform(9, 40):.5f}\n"
        for _ in range(1000)
    ]
    written, epoch = 0, 0
    with path.open("w", encoding="ascii") as file:
        while written < size:
            rows = "".join(
                f"Epoch: [{epoch:2d}], [{batch:4d}/{BATCHES:4d}] {tails[(epoch * BATCHES + batch) % 1000]}"
                for batch in range(BATCHES)
            )
            written += file.write(rows)
            epoch += 1


def write_events(folder: Path, steps: int) -> None:
    """An event file with a record for each tag and step."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    from balancer.record.tensorboard import EventLog

    draw = random.Random(0)
    log = EventLog(folder)
    for step in range(steps):
        for tag in TAGS:
            log.add(Summary(value=[Summary.Value(tag=tag, simple_value=draw.random())]), step)
    log.flush()


def ours(path: Path) -> int:
    """Rows that the diagnosis reads."""
    from balancer.reading.opening import open_source, read

    reader = open_source(str(path))
    read(reader)
    return reader.source.rows


def plain_lines(path: Path) -> int:
    """Lines of a plain loop."""
    with path.open(encoding="utf-8") as file:
        return sum(1 for _ in file)


def raw_events(path: Path) -> int:
    """Scalars of TensorBoard's raw loader, their records parsed."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    return sum(len(event.summary.value) for event in LegacyEventFileLoader(str(path)).Load())


def events(path: Path) -> int:
    """Scalars of the loader that TensorBoard's server uses."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return sum(len(event.summary.value) for event in EventFileLoader(str(path)).Load())


WAYS: dict[str, Callable[[Path], int]] = {
    "ours": ours,
    "for line in open()": plain_lines,
    "TensorBoard's raw loader": raw_events,
    "TensorBoard's loader": events,
}


def measured(way: str, path: Path) -> tuple[float, int, float]:
    """CPU seconds, rows and highest memory (MiB) of one way, in a process of its own."""
    command = [sys.executable, __file__, "--way", way, "--path", str(path)]
    seconds, rows, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(rows), float(memory)


def compare(what: str, path: Path, *ways: str) -> None:
    """Measure ways to read a file, and print them beside ours."""
    size = path.stat().st_size
    print(f"{what}: {size / 2**20:.0f} MiB")
    base, rows, memory = measured("ours", path)
    print(
        f"  {'read(open_source(...))':<28}{base:8.1f} s {memory:7.0f} MiB  {rows} rows, {size / base / 2**20:.0f} MiB/s"
    )
    for way in ways:
        seconds, rows, memory = measured(way, path)
        print(f"  {way:<28}{seconds:8.1f} s {memory:7.0f} MiB  {rows} rows; ours takes {base / seconds:.2f} times that")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=0.2, help="size of the text log")
    parser.add_argument("--steps", type=int, default=100_000, help="steps in the event file")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way is not None:
        began = time.process_time()
        rows = WAYS[options.way](options.path)
        print(time.process_time() - began, rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "train.log"
        write_log(log, int(options.gib * 2**30))
        compare("text log of zi2zi's format", log, "for line in open()")
        log.unlink()
        write_events(Path(folder), options.steps)
        (path,) = Path(folder).glob("*tfevents*")
        compare(f"event file, {len(TAGS)} tags", path, "TensorBoard's raw loader", "TensorBoard's loader")


if __name__ == "__main__":
    main()
