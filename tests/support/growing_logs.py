"""Logs that another process writes while they are followed, and what is then compared."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import balancer
from balancer.diagnosis.diagnose import Diagnosis
from balancer.watching.follower import Follower

# Writes what another file holds, in pieces whose sizes have nothing to do with lines, one for each line of its input.
WRITER = """
import random, sys
draw = random.Random(int(sys.argv[3]))
with open(sys.argv[1], "rb") as whole, open(sys.argv[2], "wb", buffering=0) as file:
    data = whole.read()
    at = 0
    while at < len(data):
        sys.stdin.readline()
        size = draw.choice((1, 2, 17, len(data) // 40, len(data) // 20, len(data) // 10))
        file.write(data[at:at + size])
        at += size
        print("more" if at < len(data) else "end", flush=True)
"""


def rows(count: int, seed: int = 0) -> list[dict[str, float]]:
    """Losses of D and G that wander, with D's falling."""
    draw = random.Random(seed)
    return [
        {
            "d_loss": round(0.7 * 0.9995**step * draw.uniform(0.8, 1.2), 5),
            "g_loss": round(draw.uniform(1, 1.5) + step / count, 4),
            "l1": round(draw.uniform(0.2, 0.3), 4),
        }
        for step in range(count)
    ]


def followed_while_written(path: Path, data: bytes, seed: int = 1) -> tuple[Diagnosis, int]:
    """Follow a file that another process writes; the diagnosis at its end, and how many there were before it."""
    whole = path.with_name("whole")
    whole.write_bytes(data)
    follower, looks = Follower(str(path)), 0
    command = [sys.executable, "-c", WRITER, str(whole), str(path), str(seed)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        said = ""
        while said != "end":
            print(file=writer.stdin, flush=True)
            said = writer.stdout.readline().strip()
            looks += follower.look() is not None
    assert writer.returncode == 0 and path.read_bytes() == data
    return follower.end(), looks


def assert_as_read_at_once(followed: Diagnosis, path: Path) -> dict[str, Any]:
    """See that everything that is said of a log is what is said of it when it is read at once."""
    found, whole = balancer.as_data(followed), balancer.as_data(balancer.diagnose(path))
    for data in (found, whole):  # an object, one for each reading
        data["units"]["recorded"] = type(data["units"]["recorded"])
    there = json.dumps(whole, default=str).replace(str(path), str(followed.case.source.path))
    assert json.dumps(found, default=str) == there
    return found
