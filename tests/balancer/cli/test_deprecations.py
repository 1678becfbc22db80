"""What goes is said once by a command, in one line, and does not stop it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

OLD = """
from balancer import KnobSpec, Plugin
from balancer.progress import Progress


class Old(Plugin):
    name = "old"

    def __init__(self, config):
        super().__init__(config)
        self.brings_knobs = tuple(KnobSpec(f"noise_{end}", "noise", ("set",), takes_effect="always") for end in "ab")
"""


def test_what_goes_is_said_once_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(OLD)
    command = [sys.executable, "-m", "balancer", "plugins", "check", "--model", "points", "old.py:Old"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if "balancer.progress" in line] == [
        "warning: balancer.progress is now balancer.train.progress; the old name goes with 0.3"
    ]
    assert len(lines) == len(set(lines)) == 3
