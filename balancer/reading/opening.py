"""Opens any log that the diagnosis reads: a run of ours, TensorBoard, CSV, JSON lines, text, or standard input."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from balancer.errors import ConfigError, suggestion
from balancer.reading.growing import CAUGHT_UP
from balancer.reading.history import History
from balancer.reading.raw_bytes import LogBytes, RawBytes
from balancer.reading.source import OnBytes, Reader, Source
from balancer.record.files import exists
from balancer.record.folder import COLUMNS

LISTED_FILES: Final = 6
TABLES: Final = (".csv", ".tsv", ".jsonl")
LOGS: Final = (*TABLES, ".json", ".log", ".txt", ".out")
NO_FAMILY: Final = "none"
NO_TAGS: Final[Mapping[str, str]] = {}
EVENT_FILE_MARK: Final = "tfevents"  # part of every event file's name
DEEPEST_FOLDER: Final = 6  # folders within folders that are searched for event files
SEARCHED_FOLDERS: Final = 10_000


class NoLogThere(ConfigError):
    """A folder in which there is no log."""


def open_source(
    path: str,
    *,
    tags: Mapping[str, str] = NO_TAGS,
    pattern: str | None = None,
    family: str | None = None,
    progress: OnBytes | None = None,
) -> Reader:
    """Find out what kind of log is there, and open it.

    Args:
        path: a run directory, a file, a folder of event files, or - for standard input.
        tags: names in the log by signal, where they are not to be guessed.
        pattern: a regular expression whose named groups are signals, for the lines of a text log.
        family: the training code that wrote it, by name, or "none"; by default it is looked for among the known ones.
        progress: is called with numbers of bytes as they are read.

    Raises:
        ConfigError: no such path or family, or tags or a pattern that do not fit it.
        DataError: it is not a log, or a damaged one.
    """
    if path != "-" and _existing(path).is_dir():
        if pattern is not None:
            raise ConfigError(f"--pattern reads the lines of a text log, and {path} is a folder: name the log in it")
        return _open_folder(Path(path), tags, progress, family)
    return _open_file(path, tags, pattern, progress, family)


def read(reader: Reader) -> History:
    """Read a log into a history, in bounded memory; the reader's source is then complete.

    Raises:
        ConfigError, DataError: see the readers.
    """
    history = History(together=reader.source.kind != "tensorboard")
    for _ in filled(history, reader):
        pass
    reader.source.drop("superseded", history.superseded)
    return history


def filled(history: History, reader: Reader) -> Iterator[None]:
    """Fill a history with the rows of a log; of one that is followed it stops wherever all that was there was read.

    Raises:
        ConfigError, DataError: see the readers.
    """
    from balancer.reading.read_run import RunReader
    from balancer.reading.read_text import TextReader
    from balancer.reading.row_blocks import RowBlock

    if isinstance(reader, RunReader):
        for steps, columns in reader.blocks():
            if not len(steps):
                yield
            history.extend(steps, columns)
        return
    together = history.together
    add, last = history.add, history.last_step
    for part in reader.parts() if isinstance(reader, TextReader) else reader.rows():
        if isinstance(part, RowBlock):
            if part.steps[0] < last:
                history.cut(float(part.steps[0]))
            history.extend(*part)
            last = float(part.steps[-1])
            continue
        if part is CAUGHT_UP:
            yield
            continue
        step, row = part
        if step < last and together:
            history.cut(step)
        add(step, row)
        last = step


def _whose(family: str | None) -> Callable[..., Source]:
    """What makes a source of that training code, or of any.

    Raises:
        ConfigError: there is no such code.
    """
    from balancer.reading.families import codes

    if family == NO_FAMILY:
        return Source
    known = codes()
    if family is None:
        return partial(Source, codes=tuple(known.values()))
    if family not in known:
        raise ConfigError(f"--family {family}: no such code: {suggestion(family, sorted([*known, NO_FAMILY]))}")
    return Source if known[family].parsed else partial(Source, code=known[family])


def _open_file(
    path: str, tags: Mapping[str, str], pattern: str | None, progress: OnBytes | None, family: str | None
) -> Reader:
    data = RawBytes(path)
    try:
        return open_log(path, data, tags, pattern, progress, family)
    except BaseException:
        data.close()
        raise


def open_log(
    path: str,
    data: LogBytes,
    tags: Mapping[str, str],
    pattern: str | None = None,
    progress: OnBytes | None = None,
    family: str | None = None,
) -> Reader:
    """Find out what kind of log these bytes of a path are.

    Raises:
        ConfigError, DataError: see `open_source`.
    """
    from balancer.reading.contained import contained
    from balancer.reading.sniff import kind_of
    from balancer.reading.tracked import SQLITE, database

    within = ""
    if data.head.startswith(SQLITE) and path != "-":
        data, tags, within = database(path, tags)
    elif (found := contained(path, data)) is not None:
        data, within = found
    # By its name too, since its beginning may be damaged.
    is_events = EVENT_FILE_MARK in Path(path).name and path != "-"
    kind = "log" if pattern is not None else "tensorboard" if is_events else kind_of(_named(path), data)
    if kind == "tensorboard":
        data.close()
        return _open_events(Path(path), [Path(path)], tags, progress, _whose(family))
    source = _whose(family)(path, kind, within=within, folder=None if path == "-" else Path(path).parent)
    if kind == "log":
        from balancer.reading.families import PatternFamily, families
        from balancer.reading.read_text import TextReader

        stated = source.code is not None
        chosen = [source.code] if source.code is not None else source.codes
        known = families() if pattern is None and not tags and not stated else {}
        if pattern is None and not tags:
            known |= {code.name: PatternFamily(code, stated=stated) for code in chosen if code.pattern is not None}
        return TextReader(source, data, tags, pattern, progress, known)
    from balancer.reading.read_table import TableReader

    return TableReader(source, data, tags, progress)


def _named(path: str) -> str:
    return path if path != "-" else "standard input"


def _open_events(
    path: Path,
    files: list[Path],
    tags: Mapping[str, str],
    progress: OnBytes | None,
    source_of: Callable[..., Source],
    beside: Sequence[Path] = (),
) -> Reader:
    from balancer.reading.read_events import EventReader

    _refuse_step(str(path), tags)
    return EventReader(source_of(str(path), "tensorboard", folder=files[0].parent), files, tags, progress, beside)


def _open_folder(folder: Path, tags: Mapping[str, str], progress: OnBytes | None, family: str | None) -> Reader:
    if exists(folder, COLUMNS):
        from balancer.reading.read_run import RunReader

        _refuse_step(str(folder), tags)
        return RunReader(folder, tags, progress)
    from balancer.reading.tracked import mlflow_folder, mlflow_metrics

    found = event_files(folder)
    if folder in found:
        beside = [file for path, files in found.items() if path != folder for file in files]
        return _open_events(folder, found[folder], tags, progress, _whose(family), beside)
    if len(found) == 1:
        return _open_events(folder, next(iter(found.values())), tags, progress, _whose(family))
    if found:
        named = [f"{path} ({len(files)})" for path, files in list(found.items())[:LISTED_FILES]]
        more = f", and {len(found) - LISTED_FILES} more" if len(found) > LISTED_FILES else ""
        raise ConfigError(
            f"{folder} holds event files in {len(found)} folders: name one of them: {', '.join(named)}{more}"
        )
    metrics = mlflow_folder(folder)
    if metrics is not None:
        from balancer.reading.read_table import TableReader

        source = _whose(family)(str(folder), "jsonl", within="mlflow", folder=folder)
        return TableReader(source, mlflow_metrics(metrics), tags, progress)
    logs = sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix.lower() in LOGS)
    tables = [name for name in logs if name.lower().endswith(TABLES)]
    if len(tables) == 1:
        # Such as Lightning's metrics.csv, with its hparams.yaml beside it.
        return _open_file(str(folder / tables[0]), tags, None, progress, family)
    hint = f"name a log in it: {', '.join(logs[:LISTED_FILES])}" if logs else "name a run's folder or a log"
    raise NoLogThere(f"{folder} holds neither a run ({COLUMNS}) nor event files of TensorBoard: {hint}")


def _refuse_step(path: str, tags: Mapping[str, str]) -> None:
    """Refuse a name for the step where each value has a step of its own.

    Raises:
        ConfigError: there is one.
    """
    if "step" in tags:
        raise ConfigError(f"{path}: --tag step={tags['step']}: its values have steps of their own; leave the tag out")


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
        events = [here / name for name in sorted(files) if EVENT_FILE_MARK in name and (here / name).is_file()]
        if events:
            found[here] = events
        deepest = 1 if folder in found else DEEPEST_FOLDER
        if count >= SEARCHED_FOLDERS or len(here.relative_to(folder).parts) >= deepest:
            folders.clear()
        folders.sort()
        if count >= SEARCHED_FOLDERS:
            break
    return found


def _existing(path: str) -> Path:
    """The path, which exists.

    Raises:
        ConfigError: nothing is there.
    """
    try:
        Path(path).stat()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(
            f"{path} cannot be read: {reason}; name a log, a run's folder, or - for standard input"
        ) from None
    return Path(path)
