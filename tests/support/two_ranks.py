"""Two real processes that train together over gloo on this machine."""

from __future__ import annotations

import os
import subprocess
import sys


def torchrun(*args: object) -> subprocess.CompletedProcess[str]:
    """What `torchrun --nproc-per-node 2` makes of these words, on a port of their own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *map(str, args)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, text=True, capture_output=True)
