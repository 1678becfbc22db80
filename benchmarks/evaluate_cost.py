"""What judging costs: CPU seconds of `balancer zi2zi evaluate` on a run, its start and each of its parts.

Without RUN a run of a few steps is made of the embedded fonts, with most characters held out (--held-out): how well it
draws changes no cost. One thread.

    python benchmarks/evaluate_cost.py [RUN]
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def cpu(who: int = resource.RUSAGE_SELF) -> float:
    """CPU seconds of this process or of its children."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def timed(part: str) -> Iterator[None]:
    """Print the CPU seconds of a part."""
    before = cpu()
    yield
    print(f"{part:<40}{cpu() - before:>8.2f} s", flush=True)


def command(*words: str) -> tuple[float, float]:
    """CPU and wall seconds of a command of its own process, with one thread."""
    before, began = cpu(resource.RUSAGE_CHILDREN), time.perf_counter()
    program = "import torch; torch.set_num_threads(1); from balancer.cli.main import main; main()"
    subprocess.run([sys.executable, "-c", program, *words], check=True, stdout=subprocess.DEVNULL)
    return cpu(resource.RUSAGE_CHILDREN) - before, time.perf_counter() - began


def main() -> None:
    """Time the command, then its parts in this process."""
    parser = argparse.ArgumentParser(description="what balancer zi2zi evaluate costs")
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--held-out", type=float, default=0.9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = given.run
        if run is None:
            run = Path(folder) / "run"
            words = ["--plugins", "", "--steps", "3", "--device", "cpu", "--quiet", "--out", str(run)]
            command("train", *words, "--set", f"model.held_out={given.held_out}")
        used, wall = command("zi2zi", "evaluate", str(run), "--out", str(Path(folder) / "sheet.png"))
        print(f"{'balancer zi2zi evaluate':<40}{used:>8.2f} s of CPU, {wall:.2f} s on the clock", flush=True)
        parts(run)


def parts(folder: Path) -> None:
    """Time what the command does, one part after the other."""
    with timed("imports"):
        import torch

        from zi2zi_model.drawing.inference import trained_run
        from zi2zi_model.judging.evaluation import held_out
    torch.set_num_threads(1)
    with timed("the run's checkpoint"):
        run = trained_run(folder)
    with timed("its glyphs"):
        styles = list(held_out(run.data))
    print(f"{sum(len(held.items) for held in styles)} held-out glyphs of {len(styles)} styles")
    with timed("drawing"):
        drawn = [held.drawn(run) for held in styles]
    with timed("figures of what G draws, and of targets"):
        for held, output in zip(styles, drawn, strict=True):
            held.targets.measure(output)
    with timed("figures of the source as it is"):
        for held in styles:
            held.targets.measure(held.source)


if __name__ == "__main__":
    main()
