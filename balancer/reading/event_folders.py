"""Which event files are one run's: those of a folder, and what add_scalars put into folders beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError

EVENTS: Final = "tfevents"  # stands in the name of every event file
DEEPEST: Final = 6  # folders within folders that are searched for event files
SEARCHED: Final = 10_000  # folders


def event_files(folder: Path) -> dict[Path, list[Path]]:
    """Event files by their folder: this one and those in it, or those anywhere below.

    Raises:
        ConfigError: the folder cannot be read.
    """
    found: dict[Path, list[Path]] = {}
    try:
        os.scandir(folder).close()
    except OSError as error:
        raise ConfigError(f"{folder} cannot be read: {error.strerror}") from None
    for count, (root, folders, files) in enumerate(os.walk(folder)):
        here = Path(root)
        events = [here / name for name in sorted(files) if EVENTS in name and (here / name).is_file()]
        if events:
            found[here] = events
        deepest = 1 if folder in found else DEEPEST
        if count >= SEARCHED or len(here.relative_to(folder).parts) >= deepest:
            folders.clear()
        folders.sort()
        if count >= SEARCHED:
            break
    return found


def shown_name(folder: str, tag: str) -> str | None:
    """What a tag is called that stands in a folder beside a run's own event files; None where it is another run's.

    `SummaryWriter.add_scalars("loss", {"D": …})` writes the tag `loss` into a folder `loss_D`.
    """
    return folder if folder.startswith(tag.replace("/", "_") + "_") else None
