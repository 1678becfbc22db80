"""What the core and each extra pull: distributions, and MB on the disk as they are installed in this environment.

python benchmarks/install_sizes.py
python benchmarks/install_sizes.py --list
"""

from __future__ import annotations

import argparse
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def main() -> None:
    """Measure and print; an extra counts what the core has not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the distributions, the largest first")
    args = parser.parse_args()
    core = closure("")
    for extra in ("", "page", "train", "zi2zi", "export", "sweep", "cluster", "all"):
        found = closure(extra) - (core if extra else set())
        sizes = {name: size(name) for name in found - {"balancer"}}
        print(f"{extra or 'core':<8} {len(sizes):>3} distributions {sum(sizes.values()) / 1e6:>8.1f} MB")
        if args.list:
            for name in sorted(sizes, key=sizes.__getitem__, reverse=True):
                print(f"    {name:<28} {sizes[name] / 1e6:>8.1f} MB  {metadata.version(name)}")


def closure(extra: str) -> set[str]:
    """The distributions that balancer with this extra requires, in turn; those that are not installed are left out."""
    found: set[tuple[str, str]] = set()
    waiting = [("balancer", extra)]
    while waiting:
        name, wanted = waiting.pop()
        try:
            required = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            print(f"not installed here, so not counted: {name}")
            continue
        found.add((name, wanted))
        for one in map(Requirement, required):
            if one.marker is None or one.marker.evaluate({"extra": wanted}):
                further = {(canonicalize_name(one.name), more) for more in (one.extras or {""})}
                waiting += [pair for pair in further if pair not in found and pair not in waiting]
    return {name for name, _ in found}


def size(name: str) -> int:
    """Bytes of a distribution's files, without what Python compiles of them."""
    files = metadata.distribution(name).files or ()
    paths = [Path(str(file.locate())) for file in files if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    main()
