"""A comparison as Markdown, for pasting into pages: a table for each task, and what has to be said beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from balancer.errors import one_line
from balancer.lab.remarks import remarks
from balancer.lab.tables import Arm, Task
from balancer.lab.text_tables import Cell, arms_table

LEGEND = (
    "Figures are means over pairs ± their standard deviation; beside them how much closer to its best a figure is than "
    "the reference's, paired by seed, with the 95 % interval, in bold where that leaves 0 out. The distance from the "
    "curve of fixed values is in units of the curve's own range: below 0 beyond it, above 0 behind it. That of a fixed "
    "value is from the line without it: it shows how coarse the line is."
)


def markdown(tasks: Sequence[Task], notes: Sequence[str]) -> str:
    """All tasks."""
    lines = [line for task in tasks for line in _task(task)]
    return "\n".join([*lines, escaped(LEGEND), *(f"\n{escaped(note)}" for note in notes)]) + "\n"


def _task(task: Task) -> Iterator[str]:
    table = arms_table(task, [*task.specs])
    yield f"### {escaped(task.name)}"
    yield ""
    if task.about:
        yield escaped(task.about)
        yield ""
    yield _row(["arm", *map(escaped, table.head)])
    yield "|" + "---|" * (len(table.head) + 1)
    for arm, cells in table.rows:
        yield _row([_arm(arm, task), *map(_cell, cells)])
    yield ""
    for remark in remarks(task):
        yield f"- {escaped(remark)}"
    yield ""


def _row(texts: Sequence[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _arm(arm: Arm, task: Task) -> str:
    return f"{escaped(arm.name)} (reference)" if arm.name == task.reference else escaped(arm.name)


def _cell(cell: Cell) -> str:
    text = f"{cell.text} ({cell.below})" if cell.below else cell.text
    return f"**{text}**" if cell.tone else text


def escaped(text: str) -> str:
    """A text on one line that Markdown and the HTML in it show as it is."""
    text = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", text)
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", text)  # what would begin a list or underline
