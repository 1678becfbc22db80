"""Run an example of docs/adapters in several variants, in this process: `adapter_run.py EXAMPLE FOLDER VARIANT…`.

Each variant runs in a folder of its name, and leaves there, for each rank, what it ended with.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

MARK = re.compile(r"#.*\bbalancer\b")
PLUGINS = '["dynamic_lambda", "d_lr_ratio", "d_skip"]'


def marked(source: str) -> list[str]:
    """The lines that are Balancer's."""
    return [line for line in source.splitlines() if MARK.search(line)]


def stripped(source: str) -> str:
    """The script as it was before: without the marked lines."""
    return "".join(line for line in source.splitlines(keepends=True) if not MARK.search(line))


def varied(source: str, variant: str) -> str:
    """The example with nothing of Balancer, with it and no plugins, or as it is; `+ddp` runs it on two ranks."""
    kind, _, ranks = variant.partition("+")
    assert PLUGINS in source
    if ranks == "ddp":
        source = source.replace("devices=1", 'devices=2, strategy="ddp_find_unused_parameters_true"')
    return {"stripped": stripped(source), "watched": source.replace(PLUGINS, "[]"), "acting": source}[kind]


def run(source: str, folder: Path) -> dict[str, Any]:
    """Run a script in a folder; the names that it leaves behind."""
    folder.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        names: dict[str, Any] = {"__name__": "script"}
        exec(compile(source, "example", "exec"), names)
    finally:
        os.chdir(before)
    return names


def ended(names: dict[str, Any]) -> dict[str, Any]:
    """What a run ended with: its networks as a hash, D's losses, and how often torch compiled something."""
    import torch
    from torch._dynamo.utils import counters

    nets = [value for _, value in sorted(names.items()) if isinstance(value, torch.nn.Module)]
    assert nets
    digest = hashlib.sha256()
    for net in nets:
        for value in net.state_dict().values():
            digest.update(value.contiguous().numpy().tobytes())
    compiled = {"graphs": counters["stats"]["unique_graphs"], "breaks": dict(counters["graph_break"])}
    torch._dynamo.reset()
    counters.clear()
    return {"weights": digest.hexdigest(), "d_losses": names.get("d_losses", []), **compiled}


def main() -> None:
    """Run the variants that the command line names."""
    import torch

    torch.set_num_threads(1)
    source = Path(sys.argv[1]).read_text(encoding="utf-8")
    folder, variants = Path(sys.argv[2]), sys.argv[3:]
    for variant in variants:
        text = varied(source, variant)
        # A process joins its group once, and leaves it once.
        if variant != variants[0]:
            text = text.replace('dist.init_process_group("gloo")\n', "")
        if variant != variants[-1]:
            text = text.replace("dist.destroy_process_group()\n", "")
        left = ended(run(text, folder / variant))
        rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
        (folder / variant / f"rank{rank}.json").write_text(json.dumps(left), encoding="utf-8")


if __name__ == "__main__":
    main()
    if "RANK" in os.environ:  # gloo's threads must not meet an interpreter that is being taken down: that may abort
        os._exit(0)
