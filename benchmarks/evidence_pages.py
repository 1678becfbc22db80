"""Where the evidence is quoted: each page with what stands in it by the present results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import tomli_w
from evidence_landing import landing
from evidence_readme import demo, found, row, three_lines
from evidence_words import FURTHER, LANGUAGES, Evidence, phrase, remedy, rows, sentence, shown_arms, standings

from balancer.diagnosis.remedies import REMEDIES
from balancer.lab.markdown import markdown
from balancer.lab.plan import NULL

COMMAND: Final = "python benchmarks/evidence.py --write"
CARDS: Final = Path("plugins/cards")
READMES: Final = {"en": Path("README.md"), "zh-TW": Path("README.zh-TW.md")}
DIAGNOSE: Final = {"en": Path("docs/diagnose.md"), "zh-TW": Path("docs/diagnose.zh-TW.md")}
SHOW: Final = Path("balancer/show")


def pages(evidence: Evidence, root: Path) -> Iterator[tuple[Path, str]]:
    """Each page and its text; the words come first, since the pages after them show what a diagnosis says by them."""
    for language in LANGUAGES:
        said = {name: {"measured": remedy(evidence, name, language)} for name in REMEDIES}
        yield root / SHOW / f"measured.{language}.toml", _toml({"remedies": said})
    yield root / "balancer/diagnosis/measured.toml", _toml(standings(evidence, list(REMEDIES)))
    names = sorted(path.stem for path in (root / CARDS).glob("*.md"))
    yield root / "plugins/evidence.toml", _toml({name: phrase(evidence.with_plugin(name)) for name in names})
    for name in names:
        path = root / CARDS / f"{name}.md"
        before, heading, _ = path.read_text(encoding="utf-8").partition("\n## Measured\n")
        yield path, before + heading + card(evidence, name)
    path = root / "benchmarks/evidence/README.md"
    yield path, between(path.read_text(encoding="utf-8"), "tables", tables(evidence))
    output = diagnosed(root)
    for language in LANGUAGES:
        path = root / READMES[language]
        text = between(path.read_text(encoding="utf-8"), "three lines", three_lines(evidence, language))
        text = between(text, "found", found(evidence, language))
        text = between(text, "demo", demo(evidence, language))
        text = between(text, "plugins", plugin_rows(evidence, text, language))
        yield path, with_output(text, output)
        path = root / DIAGNOSE[language]
        yield path, with_output(path.read_text(encoding="utf-8"), output)


def _toml(values: dict[str, object]) -> str:
    return f"# Made by {COMMAND} from benchmarks/evidence/*.jsonl.\n{tomli_w.dumps(values)}"


def between(text: str, name: str, content: str) -> str:
    """A page with this content between the two marks of that name."""
    begin, end = f"<!-- evidence: {name} -->\n", "<!-- end -->"
    before, mark, after = text.partition(begin)
    assert mark and end in after, f"no mark {name}"
    return f"{before}{begin}{content}{end}{after.partition(end)[2]}"


def card(evidence: Evidence, plugin: str) -> str:
    """The section of a card on what was measured: what was seen, in words, then a table."""
    places = evidence.with_plugin(plugin, controls=True)
    named = list(dict.fromkeys(place.arm.name for place in places))
    figures = [*evidence.plan.lab.axes, *FURTHER]
    lines = [f"**{sentence(phrase(evidence.with_plugin(plugin)))}**"]
    controls = [place for place in places if place.arm.name in evidence.arms["controls"]]
    if controls:
        lines += [f"Its control, which costs as much and leaves out what it claims: {phrase(controls)}."]
    run = [task for task in evidence.tasks if any(place.arm.runs for place in places if place.task is task)]
    missing = [task.name for task in evidence.tasks if task not in run and places]
    if missing:
        lines += [f"Not run yet with it: {', '.join(missing)}."]
    if run:
        reference = evidence.plan.lab.reference
        lines += [
            "",
            f"Beside each figure how much closer to the target than “{reference}” it is, with a 95 % interval over",
            "pairs; a word where that leaves 0 out, ? where there is none. From the curve: below 0 is what no fixed",
            f"`lambda_adv` comes to. “{NULL}” differs by its seeds alone.",
            "",
            row(["task", "arm", "pairs", *figures, "from the curve", "CPU s"]),
            "|" + "---|" * (len(figures) + 5),
        ]
        for task in run:
            lines += [row([task.name, *cells]) for cells in rows(task, shown_arms(task, named), figures)]
    if plugin == evidence.arms["landing"]["plugin"]:
        lines += landing(evidence)
    lines += ["", f"zi2zi at 64 px, `benchmarks/lab/fonts.toml`; made by `{COMMAND}`."]
    return "\n".join(lines) + "\n"


def tables(evidence: Evidence) -> str:
    """All tasks in full, with what has to be known beside them."""
    run = [task for task in evidence.tasks if any(arm.runs for arm in task.arms)]
    missing = [task.name for task in evidence.tasks if task not in run]
    versions = sorted({
        f"{package} {version}"
        for task in run for arm in task.arms for result in arm.runs.values()
        for package, version in result.versions.items() if package in ("balancer", "python", "torch")
    })  # fmt: skip
    lines = [f"Machine: {'; '.join(evidence.machines) or 'none yet'}. Versions: {', '.join(versions) or 'none yet'}."]
    if missing:
        lines.append(f"Not run yet: {', '.join(missing)}.")
    demo = [] if evidence.demo is None else [evidence.demo]
    return "\n".join(lines) + "\n\n" + markdown([*run, *demo], ()) + "\n"


def plugin_rows(evidence: Evidence, text: str, language: str) -> str:
    """The table of plugins, with what was measured in its last column."""
    table = text.partition("<!-- evidence: plugins -->\n")[2].partition("<!-- end -->")[0]
    lines = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        name = cells[0].strip("`")
        if line.startswith("| `"):
            line = row([*cells[:-1], phrase(evidence.with_plugin(name), language)])
        lines.append(line)
    return "\n".join(lines) + "\n"


def diagnosed(root: Path) -> str:
    """What `balancer diagnose docs/case.log` prints, 80 columns wide."""
    words = [sys.executable, "-m", "balancer", "diagnose", "docs/case.log"]
    made = subprocess.run(
        words, cwd=root, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=True
    )
    return made.stdout


def with_output(text: str, output: str) -> str:
    """A page whose block of a diagnosis is that output's part: up to its last finding, or the first remedy's words."""

    def shown(block: re.Match[str]) -> str:
        lines, old = output.splitlines(), block[1].splitlines()
        numbers = [line for line in old if re.match(r"\d+\. ", line)]
        if not numbers:
            return block[0]
        begin = 0 if old[0] == lines[0] else _at(lines, numbers[0])
        after = [line for line in lines[_at(lines, numbers[-1]) + 1 :] if re.match(r"\d+\. ", line)]
        end = _at(lines, after[0]) if after else len(lines)
        if begin:  # a README's: the first finding up to what was measured of its first remedy
            measured = next(at for at in range(begin, end) if lines[at].startswith("     measured:"))
            end = next(at for at in range(measured + 1, end) if not re.match(r"     [^$ ]", lines[at]))
        part = "\n".join(lines[begin:end]).rstrip()
        return f"```text\n{part}\n```"

    return re.sub(r"^```text\n(.*?)\n```$", shown, text, flags=re.DOTALL | re.MULTILINE)


def _at(lines: Sequence[str], beginning: str) -> int:
    return next(at for at, line in enumerate(lines) if line.startswith(beginning.partition(" ")[0] + " "))
