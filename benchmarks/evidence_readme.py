"""What a README says of the evidence: three lines at its beginning, and a table of one task."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final

from evidence_words import (
    MOST_HELP,
    MOST_ROWS,
    Evidence,
    cost,
    differences,
    grouped,
    rows,
    shown_arms,
)

from balancer.lab.plan import NULL
from balancer.lab.tables import Task

# {chance}: of 40 intervals that show nothing, one lies beyond.
FOUND: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "head": "setting | pairs | from the curve | CPU s",
        "lead": "Means on the task `{task}`; beside them how much closer to the target than those of `{reference}` "
        "they are (above 0 is closer), with 95 % intervals over pairs, runs of the same seed. A word stands where the "
        "interval leaves 0 out, a question mark where one pair gives none. The curve is that of fixed `lambda_adv` in "
        "the plane of both figures: below 0 is *beyond* it, what no fixed value comes to. `{null}` differs by its "
        "seeds alone. CPU seconds are of a busy machine. All settings, tasks and commands: "
        "[benchmarks/evidence](benchmarks/evidence/README.md).",
        "nothing": "- **Nothing was measured here yet.**",
        "helps": "- **Helps**, beyond every fixed `lambda_adv`: {arms}.",
        "arm": "`{arm}` in {beyond} of {count} comparisons (`{task}`: {figures}; CPU time × {cost})",
        "none": "- **Nothing was seen to help**: of {count} intervals of the distance from the curve of fixed "
        "`lambda_adv` none lies beyond it.",
        "open": "- **What helps is not known yet**: no setting has run often enough to tell it from seeds.",
        "not": "- **Does not help**, as far as was seen: {arms}.",
        "behind": "`{arm}` (worse than a fixed `lambda_adv` in {behind} of {count})",
        "plain": "`{arm}`",
        "sure": "- **How sure**: {count} intervals, of which about {chance} would lie beyond by chance and {beyond} "
        "do; {once} settings have run once, which says nothing, {missing} not at all.",
        "comma": ", ",
        "demo": "Over {pairs} seeds (above 0 is closer to the target than `{reference}`; 95 % intervals; "
        "`benchmarks/lab/demo.toml`):",
        "no_demo": "Not run with several seeds yet.",
    },
    "zh-TW": {
        "head": "設定 | 對數 | 與曲線的距離 | CPU 秒",
        "lead": "任務 `{task}` 上的平均；括號裡是比 `{reference}` 更接近目標多少（大於 0 表示較接近），附 95 % 區間，"
        "同一隨機種子的兩次訓練為一對。區間不含 0 時寫出結論，只有一對而沒有區間時標上問號。曲線是固定的 `lambda_adv` "
        "在這兩項數據的平面上連成的；與它的距離小於 0 就是*超越*，任何固定值都達不到。`{null}` 與對照只差隨機種子。"
        "CPU 秒是在忙碌的機器上量的。所有設定、任務與指令：[benchmarks/evidence](benchmarks/evidence/README.md)。",
        "nothing": "- **這裡還沒有測量。**",
        "helps": "- **有幫助**，超越任何固定的 `lambda_adv`：{arms}。",
        "arm": "`{arm}`，{count} 次比較中有 {beyond} 次（`{task}`：{figures}；CPU 時間 × {cost}）",
        "none": "- **還沒看到什麼有幫助**：與固定 `lambda_adv` 曲線的距離，{count} 個區間沒有一個超越它。",
        "open": "- **還不知道什麼有幫助**：沒有任何設定跑過足夠的次數，能與隨機種子的差別分開。",
        "not": "- **看不到幫助**：{arms}。",
        "behind": "`{arm}`（{count} 次中有 {behind} 次不如固定的 `lambda_adv`）",
        "plain": "`{arm}`",
        "sure": "- **有多確定**：共 {count} 個區間，單憑運氣約有 {chance} 個超越曲線，實際有 {beyond} 個；"
        "{once} 個設定只跑過一次，看不出什麼，{missing} 個還沒跑。",
        "comma": "、",
        "demo": "跨 {pairs} 個隨機種子（大於 0 表示比 `{reference}` 更接近目標；95 % 區間；"
        "`benchmarks/lab/demo.toml`）：",
        "no_demo": "還沒有用多個隨機種子跑過。",
    },
}


def three_lines(evidence: Evidence, language: str) -> str:
    """What helps, what does not, and how sure that is, for the beginning of a README."""
    texts, groups = FOUND[language], grouped(evidence.judged)
    if not any(place.arm.runs for place in evidence.judged):
        return texts["nothing"] + "\n"
    with_interval = [place for places in groups.values() for place in places if place.away is not None]
    helps, others = [], []
    for places in groups.values():
        judged = [place for place in places if place.away is not None]
        kinds = [place.standing for place in judged]
        if not judged:
            continue
        counts = {"arm": judged[0].arm.name, "count": len(judged), "behind": kinds.count("behind")}
        if "beyond" not in kinds or "behind" in kinds:
            others.append((-counts["behind"], texts["behind" if counts["behind"] else "plain"].format(**counts)))
            continue
        best = min(judged, key=lambda place: place.away.high if place.away else 0.0)
        said = texts["arm"].format(
            **counts, beyond=kinds.count("beyond"), task=best.task.name, figures=differences(best), cost=cost(best)
        )
        helps.append((-kinds.count("beyond"), best.away.high if best.away else 0.0, said))
    beyond = sum(place.standing == "beyond" for place in with_interval)
    run = [name for name, places in groups.items() if any(place.arm.runs for place in places)]
    tried = {name for name, places in groups.items() if any(place.away is not None for place in places)}
    lines = [
        texts["helps"].format(arms=texts["comma"].join(said for _, _, said in sorted(helps)[:MOST_HELP]))
        if helps
        else texts["none" if with_interval else "open"].format(count=len(with_interval)),
        texts["not"].format(arms=texts["comma"].join(said for _, said in sorted(others, key=lambda one: one[0]))),
        texts["sure"].format(
            count=len(with_interval),
            chance=f"{0.025 * len(with_interval):.1f}",
            beyond=beyond,
            once=len(run) - len(tried),
            missing=len(groups) - len(run),
        ),
    ]
    return "\n".join(line for line in lines if others or line != lines[1]) + "\n"


def demo(evidence: Evidence, language: str) -> str:
    """What the demo's runs come to over seeds, for a README."""
    texts, task = FOUND[language], evidence.demo
    if task is None or not _run(task):
        return texts["no_demo"] + "\n"
    setting, _, _, seconds = texts["head"].split(" | ")
    figures = [*task.axes, "edge sharpness"]
    lines = [row([setting, *figures, seconds]), "|" + "---|" * (len(figures) + 2)]
    for cells in rows(task, [arm.name for arm in task.arms], figures, language):
        name, _, *shown, _, cpu = cells
        lines.append(row([name, *shown, cpu]))
    lead = texts["demo"].format(pairs=len(task.arm(task.reference).runs), reference=task.reference)
    return "\n".join([_wrapped(lead, language), "", *lines]) + "\n"


def found(evidence: Evidence, language: str) -> str:
    """A table of the task with most runs, for a README."""
    texts, task = FOUND[language], evidence.fullest
    beyond = [place for place in evidence.judged if place.standing == "beyond" and place.task is task]
    beyond.sort(key=lambda place: place.away.high if place.away else 0.0)
    here = [place.arm.name for place in beyond][:MOST_ROWS]
    named = shown_arms(
        task,
        [
            *task.curve_arms,
            *[name for name in evidence.plan.curve if name in _run(task)],
            *here,
            *evidence.arms["equal_cost"],
        ],
    )
    setting, pairs, away, seconds = texts["head"].split(" | ")
    lead = texts["lead"].format(reference=task.reference, task=task.name, null=NULL)
    lines = [row([setting, pairs, *evidence.plan.lab.axes, away, seconds])]
    lines.append("|" + "---|" * (len(evidence.plan.lab.axes) + 4))
    lines += [row(cells) for cells in rows(task, named, evidence.plan.lab.axes, language)]
    return "\n".join([*lines, "", _wrapped(lead, language)]) + "\n"


def _wrapped(text: str, language: str) -> str:
    return textwrap.fill(text, 120, break_on_hyphens=False) if language == "en" else text


def _run(task: Task) -> list[str]:
    return [arm.name for arm in task.arms if arm.runs]


def row(cells: Sequence[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(cells)} |"
