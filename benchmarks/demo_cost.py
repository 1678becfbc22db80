"""What `make demo` costs: minutes and peak memory of each of its commands.

python benchmarks/demo_cost.py
"""

from __future__ import annotations

import argparse
import re
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run the demo's commands as the Makefile has them, in a folder of their own, and print their cost."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = dict(re.findall(r"^(\w+) [?:]?= (.*)$", text, re.MULTILINE))
    recipe = text.split("\ndemo: ", 1)[1].split("\n\n", 1)[0]
    total = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for part in ("docs", "zi2zi_model"):
            (Path(folder) / part).symlink_to(ROOT / part)
        for line in re.findall(r"^\t\$\(BIN\)/balancer (.*)$", recipe, re.MULTILINE):
            command = re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], line)
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "balancer", *shlex.split(command)], cwd=folder, check=True)
            minutes = (time.perf_counter() - began) / 60
            total += minutes
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            print(f"{minutes:5.2f} min, {peak:,.0f} MiB at most so far: balancer {command}\n", flush=True)
    print(f"{total:.2f} min in all, besides the installation")


if __name__ == "__main__":
    main()
