"""Where the evidence is quoted: each page with what stands in it by the present results."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import tomli_w
from evidence_words import FURTHER, LANGUAGES, MOST_ROWS, Evidence, phrase, remedy, rows, sentence, shown_arms

from balancer.diagnosis.remedies import REMEDIES
from balancer.lab.markdown import markdown
from balancer.lab.plan import NULL
from balancer.lab.tables import Task

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
        text = between(path.read_text(encoding="utf-8"), "found", found(evidence, language))
        text = between(text, "plugins", plugin_rows(evidence, text, language))
        yield path, with_output(text, output)
        path = root / DIAGNOSE[language]
        yield path, with_output(path.read_text(encoding="utf-8"), output)


def _toml(values: dict[str, object]) -> str:
    return f"# Made by {COMMAND} from benchmarks/evidence/fonts.jsonl.\n{tomli_w.dumps(values)}"


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
            f"“{reference}” as it is; of the others how much closer to the target than it, with 95 % intervals from",
            "two pairs on, bold where they leave 0 out. From the curve: below 0 is what no fixed `lambda_adv` comes",
            f"to. “{NULL}” differs by its seeds alone.",
            "",
            _row(["task", "arm", "pairs", *figures, "from the curve", "CPU s"]),
            "|" + "---|" * (len(figures) + 5),
        ]
        for task in run:
            lines += [_row([task.name, *cells]) for cells in rows(task, shown_arms(task, named), figures)]
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
    return "\n".join(lines) + "\n\n" + markdown(run, ()) + "\n"


def plugin_rows(evidence: Evidence, text: str, language: str) -> str:
    """The table of plugins, with what was measured in its last column."""
    table = text.partition("<!-- evidence: plugins -->\n")[2].partition("<!-- end -->")[0]
    lines = []
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        name = cells[0].strip("`")
        if line.startswith("| `"):
            line = _row([*cells[:-1], phrase(evidence.with_plugin(name), language)])
        lines.append(line)
    return "\n".join(lines) + "\n"


# {chance}: of 40 intervals that show nothing, one lies beyond.
FOUND: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "head": "setting | pairs | from the curve | CPU s",
        "lead": "Of `{reference}` its figures, of the others how much closer to the target than it they are, on the "
        "task `{task}`: 95 % intervals from 2 pairs of runs on, bold where they leave 0 out. From the curve: below 0 "
        "is what no fixed `lambda_adv` comes to. `{null}` differs by its seeds alone. All settings, tasks and "
        "commands: [benchmarks/evidence](benchmarks/evidence/README.md).",
        "nothing": "**Nothing was measured here yet.**",
        "once": "**One run of a setting says nothing of gain**, since seeds differ too. So far nothing is known to "
        "help.",
        "none": "**No setting was seen to gain**: of {count} intervals of the distance from the curve none lies "
        "beyond it, {behind} behind it.",
        "gain": "**Beyond every fixed `lambda_adv`**: {arms}; {beyond} of {count} intervals of the distance from the "
        "curve, where about {chance} would by chance. Behind it: {behind}.",
        "comma": ", ",
        "missing": "Not run yet: {tasks}; on `{task}` {settings} of {of} settings.",
    },
    "zh-TW": {
        "head": "設定 | 對數 | 與曲線的距離 | CPU 秒",
        "lead": "`{reference}` 列出它本身的數據，其他設定列出比它更接近目標多少，任務是 `{task}`："
        "從 2 對執行起附 95 % 區間，不含 0 的以粗體表示。與曲線的距離小於 0，表示任何固定的 `lambda_adv` 都達不到。"
        "`{null}` 與對照只差隨機種子。所有設定、任務與指令：[benchmarks/evidence](benchmarks/evidence/README.md)。",
        "nothing": "**這裡還沒有測量。**",
        "once": "**每個設定只跑一次，看不出有沒有改善**，因為種子不同也會有差別。目前還不知道什麼有幫助。",
        "none": "**沒有看到任何設定帶來改善**：{count} 個與曲線距離的區間裡，沒有一個超越曲線，{behind} 個不如曲線。",
        "gain": "**超越任何固定的 `lambda_adv`**：{arms}；{count} 個與曲線距離的區間裡有 {beyond} 個，"
        "單憑運氣約有 {chance} 個。不如曲線的有 {behind} 個。",
        "comma": "、",
        "missing": "尚未執行：{tasks}；在 `{task}` 上還有 {settings} 個設定（共 {of} 個）。",
    },
}


def found(evidence: Evidence, language: str) -> str:
    """What was found, for a README: a sentence, a table of the task with most runs, and what is missing."""
    texts, task, judged = FOUND[language], evidence.fullest, evidence.judged
    with_interval = [place for place in judged if place.away is not None]
    beyond = [place for place in with_interval if place.standing == "beyond"]
    beyond.sort(key=lambda place: place.away.high if place.away else 0.0)
    figures = {
        "count": len(with_interval), "beyond": len(beyond),
        "behind": sum(place.standing == "behind" for place in judged),
        "chance": f"{0.025 * len(with_interval):.1f}",
        "arms": texts["comma"].join(f"`{place.arm.name}` ({place.task.name})" for place in beyond[:MOST_ROWS]),
    }  # fmt: skip
    if not any(place.arm.runs for place in judged):
        verdict = texts["nothing"]
    else:
        verdict = texts["gain" if beyond else "none" if with_interval else "once"].format(**figures)
    here = [place.arm.name for place in beyond if place.task is task][:MOST_ROWS]
    named = shown_arms(task, [*task.curve_arms, *[name for name in evidence.plan.curve if name in _run(task)], *here])
    setting, pairs, away, seconds = texts["head"].split(" | ")
    lead = texts["lead"].format(reference=task.reference, task=task.name, null=NULL)
    lines = [verdict, "", _row([setting, pairs, *evidence.plan.lab.axes, *FURTHER, away, seconds])]
    lines.append("|" + "---|" * (len(evidence.plan.lab.axes) + len(FURTHER) + 4))
    lines += [_row(cells) for cells in rows(task, named, [*evidence.plan.lab.axes, *FURTHER])]
    tasks = [one.name for one in evidence.tasks if not _run(one)]
    missing = len([arm for arm in task.arms if not arm.runs])
    lines += ["", lead]
    if tasks or missing:
        listed = texts["comma"].join(f"`{name}`" for name in tasks) or "–"
        lines.append(texts["missing"].format(tasks=listed, task=task.name, settings=missing, of=len(task.arms)))
    if language == "en":
        lines = [line if line.startswith("|") else textwrap.fill(line, 120, break_on_hyphens=False) for line in lines]
    return "\n".join(lines) + "\n"


def _run(task: Task) -> list[str]:
    return [arm.name for arm in task.arms if arm.runs]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


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
