"""The report about a comparison: one HTML page that needs nothing else, one file in Markdown, and a short table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from rich.cells import cell_len

from balancer.contract.model import FigureSpec
from balancer.lab.gathered import gathered
from balancer.lab.markdown import LEGEND, markdown
from balancer.lab.plan import Plan
from balancer.lab.plane import plane, svg_path
from balancer.lab.remarks import general, remarks
from balancer.lab.tables import ALL, Arm, Pair, Task, tables
from balancer.lab.text_tables import Cell, arms_table, group_table, short_table
from balancer.page.page import HERE as PAGE
from balancer.page.page import template
from balancer.page.sheets import last_sheet
from balancer.page.view import Sheet

HERE: Final = Path(__file__).parent
POLICY: Final = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SHORT_LEGEND: Final = (
    "Beside a figure: by how much it is closer to its best (+) than the reference's, as a mean over pairs; closer and "
    "farther where the 95 % interval leaves 0 out, ? where there is none. From the curve: below 0 is beyond it."
)
# Pixels of the plane: where there is room, and on a phone.
WIDE: Final = (900.0, 560.0)
NARROW: Final = (340.0, 480.0)
# Of an arm's sheet, tried in turn until all of a task are small enough for a page.
WIDTHS: Final = (720, 480, 320)
BYTES: Final = 3_000_000


@dataclass(frozen=True)
class LabReport:
    """What the runs of a file came to so far."""

    title: str
    model: str
    figures: dict[str, FigureSpec]
    tasks: tuple[Task, ...]
    notes: tuple[str, ...]

    @cached_property
    def html(self) -> str:
        """One HTML page, without network."""
        styles = [file.read_text(encoding="utf-8") for file in (PAGE / "page.css", HERE / "report.css")]
        return template(HERE / "report.html.j2", svg_path=svg_path).render(
            report=self,
            parts=[_part(task, number) for number, task in enumerate(self.tasks)],
            legend=LEGEND,
            style="".join(styles),
            policy=POLICY,
        )

    @cached_property
    def markdown(self) -> str:
        """A table for each task."""
        return markdown(self.tasks, self.notes)

    def lines(self) -> Iterator[str]:
        """The axes and the distance from the curve, for a terminal: means, without their intervals, and remarks."""
        for task in self.tasks:
            table = short_table(task)
            rows = [["", *table.head]]
            for arm, cells in table.rows:
                rows.append([arm.name, *map(_on_terminal, cells)])
            yield f"{task.name}, against {task.reference}:"
            widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]))]
            for row in rows:
                padded = [text + " " * (width - cell_len(text)) for text, width in zip(row, widths, strict=True)]
                yield f"  {'  '.join(padded)}".rstrip()
            yield from (f"  - {remark}" for remark in remarks(task))
            yield ""
        yield SHORT_LEGEND


def lab_report(plan: Plan, sources: Iterable[Path]) -> LabReport:
    """Read the results in files or folders of comparisons, and compare.

    Raises:
        ConfigError: they cannot be read, none is of these runs, or the file names a figure that the model lacks.
        PluginError: no such model.
    """
    figures = plan.figures()
    results = gathered(plan, sources)
    notes = tuple(general(results, plan.path))
    return LabReport(plan.path.stem, plan.lab.model, figures, tables(plan, results), notes)


@dataclass(frozen=True)
class _Part:
    """A task as the template needs it."""

    id: str
    task: Task

    @property
    def main(self) -> object:
        return arms_table(self.task, [*dict.fromkeys(self.task.axes)])

    @property
    def further(self) -> object:
        """All figures, where there are more than the axes."""
        return group_table(self.task, ALL) if len(self.task.specs) > len({*self.task.axes}) else None

    @property
    def groups(self) -> list[tuple[str, object]]:
        return [(group, group_table(self.task, group)) for group in self.task.groups]

    @property
    def remarks(self) -> list[str]:
        return [*remarks(self.task)]

    @property
    def planes(self) -> list[tuple[str, object]]:
        found = (("wide", plane(self.task, *WIDE)), ("narrow", plane(self.task, *NARROW)))
        return [(kind, drawn) for kind, drawn in found if drawn is not None]

    @cached_property
    def sheets(self) -> tuple[Pair | None, list[tuple[Arm, Sheet]]]:
        return task_sheets(self.task)


def _on_terminal(cell: Cell) -> str:
    below = " ".join(filter(None, (cell.below, cell.tone)))
    return f"{cell.text} ({below})" if below else cell.text


def _part(task: Task, number: int) -> _Part:
    return _Part(f"task-{number}", task)


def task_sheets(task: Task) -> tuple[Pair | None, list[tuple[Arm, Sheet]]]:
    """The last sheet of each arm, of the pair of which there are most: the first of those."""
    found: dict[Pair, list[Arm]] = {
        pair: [arm for arm in task.arms if pair in arm.folders and last_sheet(arm.folders[pair], 1) is not None]
        for pair in task.pairs
    }
    pair = max(found, key=lambda one: len(found[one]))
    sheets: list[tuple[Arm, Sheet]] = []
    for width in WIDTHS:
        drawn = ((arm, last_sheet(arm.folders[pair], width)) for arm in found[pair])
        sheets = [(arm, sheet) for arm, sheet in drawn if sheet is not None]
        if sum(len(sheet.uri) for _, sheet in sheets) <= BYTES:
            break
    return (pair, sheets) if sheets else (None, [])
