"""Tables with a header: what separates their cells, what their columns are called, and a cell's number."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import Final

from balancer.errors import ConfigError
from balancer.reading.names import one_line
from balancer.reading.tags import guess, plain

DELIMITERS: Final = (",", "\t", ";")
# Tables for readers: in Markdown or with frames, and with columns of blanks.
COLUMNS: Final = ("|", "  ", " ")
_HEADER_LINES: Final = 20  # lines in which their header is looked for, below other text
_RULE: Final = re.compile("[-=+|:─━│┃┌┐└┘├┤┬┴┼┏┓┗┛┡┩╇┳┻═║╔╗╚╝╠╣╦╩╬ \t]{1,1000}+")
_FRAMES: Final = str.maketrans("│┃║", "|||", "*`")
_BLANKS: Final = re.compile(r"[ \t]{2,100}+|\t")
# Columns of a chart that Weights & Biases exports.
RUN_MARK: Final = " - "  # stands between a run and its metric
BOUNDS: Final = ("__MIN", "__MAX")  # end the columns of the lowest and highest value
LISTED_RUNS: Final = 8


def delimiter(filled: Sequence[str]) -> str | None:
    """What separates the columns of a table with a header; None for lines that are not a table."""
    table = [line for line in filled[:22] if not line.startswith("#")]
    for mark in DELIMITERS if table else ():
        header = cells(table[0], mark)
        if len(header) < 2 or any(cell_number(name, mark) is not None for name in header) or not any(header):
            continue
        rows = [cells(line, mark) for line in table[1:]]
        fitting = [row for row in rows if len(row) == len(header) and _figures(row, mark)]
        # The last row may be torn, and a header alone is a table whose run has not begun.
        if 2 * len(fitting) > len(rows) or (len(rows) <= 1 and all(_is_name(name) for name in header)):
            return mark
    return next((mark for mark in COLUMNS if _is_table(filled, mark)), None)


def is_rule(line: str) -> bool:
    """Whether a line only rules a table off."""
    return _RULE.fullmatch(line) is not None


def table_rows(filled: Sequence[str], mark: str) -> list[list[str]]:
    """The cells of the lines of a table, from its header on."""
    if mark not in COLUMNS:
        return [cells(line, mark) for line in filled if not line.startswith("#")]
    rows = [cells(line, mark) for line in filled if not is_rule(line)]
    at = next((place for place, row in enumerate(rows[:_HEADER_LINES]) if _is_header(row, mark)), len(rows))
    return [numbered_row(row, len(rows[at])) for row in rows[at:]]


def numbered_row(row: list[str], width: int) -> list[str]:
    """A row without its number, which has no header where pandas prints it."""
    return row[1:] if len(row) == width + 1 else row


def cells(line: str, mark: str) -> list[str]:
    """The cells of one line of a table."""
    if mark == "|":
        return [cell.strip() for cell in line.translate(_FRAMES).strip().strip("|").split("|")]
    if mark in COLUMNS:
        return line.split() if mark == " " else _BLANKS.split(line.strip())
    if '"' not in line:
        return line.split(mark)
    try:
        return next(csv.reader([line], delimiter=mark))
    except (csv.Error, StopIteration):
        return line.split(mark)


def cell_number(text: str, mark: str) -> float | None:
    """A cell as a number; None where it is not one."""
    try:
        return float(text)
    except ValueError:
        pass
    if mark == ";" and "," in text:
        # Where cells are separated by semicolons, the comma may be the decimal one.
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return None
    return None


def header_names(row: Sequence[str]) -> list[str]:
    """Names of columns; a repeated one gets the number of its column."""
    names: list[str] = []
    seen: set[str] = set()
    for place, cell in enumerate(row):
        name = cell.strip() or f"column {place + 1}"
        name = name if name not in seen else f"{name} ({place + 1})"
        seen.add(name)
        names.append(name)
    return names


def without_run(path: str, names: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """What the columns are called without the run's name, by their names; columns of other runs are left out.

    Args:
        names: of the columns.
        given: names by signal, as the user gave them; where there are several runs they say which one is meant.

    Raises:
        ConfigError: there are several runs, and it is unclear which one is meant.
    """
    runs: dict[str, list[str]] = {}
    for name in names:
        run, mark, metric = name.rpartition(RUN_MARK)
        if mark and not name.endswith(BOUNDS) and (guess(metric) is not None or name + BOUNDS[0] in names):
            runs.setdefault(run, []).append(name)
    if not runs:
        return {name: name for name in names}
    meant = {plain(name) for name in given.values()}
    chosen = [run for run, columns in runs.items() if len(runs) == 1 or meant & {plain(name) for name in columns}]
    if len(chosen) != 1:
        shown = ", ".join(map(one_line, list(runs)[:LISTED_RUNS])) + (", …" if len(runs) > LISTED_RUNS else "")
        example = next(iter(runs.values()))[0]
        fit = guess(example)
        raise ConfigError(
            f"{path}: a chart of {len(runs)} runs: {shown}; pick one with --tag, such as "
            f"--tag '{'d_loss' if fit is None else fit.signal}={one_line(example)}'"
        )
    others = tuple(f"{run}{RUN_MARK}" for run in runs if run not in chosen)
    return {
        name: name.removeprefix(f"{chosen[0]}{RUN_MARK}")
        for name in names
        if not name.startswith(others) and not name.endswith(BOUNDS)
    }


def _is_table(filled: Sequence[str], mark: str) -> bool:
    """Whether rows of figures stand below a header that names a loss, perhaps with other text above it."""
    table = table_rows(filled[: _HEADER_LINES + 22], mark)
    fitting = [row for row in table[1:] if len(row) == len(table[0]) and _figures(row, mark)]
    return len(fitting) > 0 and 2 * len(fitting) > len(table) - 1


def _is_header(row: Sequence[str], mark: str) -> bool:
    names = len(row) > 1 and not any(cell_number(cell, mark) is not None for cell in row)
    return names and any(guess(cell) is not None for cell in row)


def _figures(row: Sequence[str], mark: str) -> bool:
    filled = [cell for cell in row if cell.strip()]
    figures = sum(cell_number(cell, mark) is not None for cell in filled)
    return figures > 0 and 2 * figures >= len(filled)


def _is_name(text: str) -> bool:
    return text.strip().replace("/", "_").replace(".", "_").replace("-", "_").replace(" ", "_").isidentifier()
