"""What the evidence says of a plugin, of a remedy and of all settings, by fixed rules, in two languages."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from balancer.lab.intervals import Estimate
from balancer.lab.plan import NULL, Plan
from balancer.lab.tables import ALL, Arm, Figure, Task
from balancer.lab.text_tables import NOTHING, ON_IT, interval, signed
from balancer.page.scales import number

FURTHER: Final = ("L1", "style distance")
MOST_ROWS: Final = 6  # of settings beyond the curve, in a README
MOST_HELP: Final = 3  # settings that its first lines name
LANGUAGES: Final = ("en", "zh-TW")
# {gain}: how far beyond the curve, with its interval. A pair is a seed and a starting point.
TEXTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "en": {
        "missing": "not measured here yet",
        "once": "one run of a setting says nothing of gain",
        "open": "too few pairs for an interval: says nothing of gain",
        "beyond": "beyond every fixed λ by {gain}",
        "behind": "no gain seen, behind fixed λ",
        "none": "no gain seen",
        "where": "{verdict}: {arm}, {task}, {pairs} pairs",
        "many": "no gain seen in {count} comparisons of up to {pairs} pairs, behind fixed λ in {behind}",
        "of": "; in {beyond} of {count} comparisons, behind in {behind}",
        "remedy": "On {task}, “{arm}” beside “{reference}”: {figures}; {verdict}",
        "control": "What all else is held against",
        "null": "Run again with other seeds on {task}: {figures}",
        "null_missing": "Not run again with other seeds yet",
        "not": "Not measured by this repository",
        "closer": "closer to the target in {names}",
        "farther": "farther from it in {names}",
        "alike": "no difference seen in {pairs} pairs",
        "comma": ", ",
        "stop": ".",
        "between": " ",
        "near": "Of the value nearest to it that was measured:",
        "tone": {"closer": "closer", "farther": "farther", "beyond": "beyond", "behind": "behind"},
    },
    "zh-TW": {
        "missing": "這裡尚未測量",
        "once": "一個設定只跑一次，看不出有沒有改善",
        "open": "對數太少，沒有區間：看不出有沒有改善",
        "beyond": "超越任何固定的 λ {gain}",
        "behind": "看不到改善，不如固定的 λ",
        "none": "看不到改善",
        "where": "{verdict}：{arm}，{task}，{pairs} 對",
        "many": "{count} 次比較（最多 {pairs} 對）都看不到改善，{behind} 次不如固定的 λ",
        "of": "；{count} 次比較中有 {beyond} 次，不如固定 λ 的有 {behind} 次",
        "remedy": "在 {task} 上，「{arm}」與「{reference}」相比：{figures}；{verdict}",
        "control": "其他做法都與它相比",
        "null": "在 {task} 上換種子再跑一次：{figures}",
        "null_missing": "尚未換種子再跑一次",
        "not": "本儲存庫沒有測量",
        "closer": "{names} 較接近目標",
        "farther": "{names} 離目標較遠",
        "alike": "{pairs} 對看不出差別",
        "comma": "、",
        "stop": "。",
        "between": "",
        "near": "實測過最接近的數值：",
        "tone": {"closer": "較近", "farther": "較遠", "beyond": "超越", "behind": "不如"},
    },
}


class Place(NamedTuple):
    """An arm on a task."""

    task: Task
    arm: Arm

    @property
    def away(self) -> Estimate | None:
        """Its signed distance from the curve of fixed values, with an interval; None where there is none yet."""
        found = self.arm.from_curve
        return found if found is not None and found.bounded else None

    @property
    def standing(self) -> str:
        """`missing`, `once` (a single run), `open` (no interval), or by the interval `beyond`, `behind`, `none`."""
        if not self.arm.runs:
            return "missing"
        if self.away is None:
            return "once" if len(self.arm.runs) == 1 else "open"
        return {-1: "beyond", 1: "behind", 0: "none"}[self.away.sign]


@dataclass(frozen=True)
class Evidence:
    """All results; `tasks` are all of the plan's and of its twin's, those without results too. `arms` is arms.toml.

    `demo` is what the demo shows, with several seeds; its arms are its own.
    """

    plan: Plan
    tasks: tuple[Task, ...]
    arms: Mapping[str, Any]
    machines: tuple[str, ...]
    demo: Task | None = None

    def places(self, names: Sequence[str]) -> list[Place]:
        """These arms on all tasks that try them."""
        return [Place(task, arm) for task in self.tasks for arm in task.arms if arm.name in names]

    def with_plugin(self, plugin: str, controls: bool = False) -> list[Place]:
        """The arms that have a plugin, with or without its controls."""
        names = [name for name, (settings, _) in self.plan.arms.items() if plugin in settings.plugins]
        return self.places([name for name in names if controls or name not in self.arms["controls"]])

    @property
    def judged(self) -> list[Place]:
        """Every arm that is no fixed value and no control."""
        names = [name for name, (settings, _) in self.plan.arms.items() if settings.curve is None]
        return self.places([name for name in names if name not in self.arms["controls"]])

    @property
    def fullest(self) -> Task:
        """The task whose arms have run most often, by their median; the first of those."""
        return max(self.tasks, key=lambda task: statistics.median(len(arm.runs) for arm in task.arms))


def verdict(place: Place, language: str) -> str:
    """What follows from an arm's distance from the curve, on one task."""
    return TEXTS[language][place.standing].format(gain=gain(place.away) if place.away else "")


def phrase(places: Sequence[Place], language: str = "en") -> str:
    """What was seen of arms together, in a few words without a full stop."""
    texts = TEXTS[language]
    kinds = [place.standing for place in places]
    judged = [(place.away.high, place, place.away) for place in places if place.away is not None]
    if not judged:
        return texts[next((kind for kind in ("open", "once") if kind in kinds), "missing")]
    counts = {"beyond": kinds.count("beyond"), "behind": kinds.count("behind"), "count": len(judged)}
    _, best, away = min(judged, key=lambda one: one[0])
    if best.standing != "beyond" and len(judged) > 1:
        return texts["many"].format(pairs=max(away.pairs for _, _, away in judged), **counts)
    text = texts["where"].format(
        verdict=verdict(best, language), arm=best.arm.name, task=best.task.name, pairs=away.pairs
    )
    return text + (texts["of"].format(**counts) if len(judged) > 1 else "")


def gain(away: Estimate) -> str:
    """How far beyond the curve, as a number above 0 with its interval."""
    low, mean, high = (signed(-value).lstrip("+") for value in (away.high, away.mean, away.low))
    return f"{mean} [{low}, {high}]"


def grouped(places: Sequence[Place]) -> dict[str, list[Place]]:
    """By the name of the arm."""
    found: dict[str, list[Place]] = {}
    for place in places:
        found.setdefault(place.arm.name, []).append(place)
    return found


def differences(place: Place) -> str:
    """How much closer to the target than the reference's the figures of both axes are, as a mean over pairs."""
    figures = place.arm.figures.get(ALL, {})
    told = {name: figures[name].closer for name in place.task.axes if name in figures}
    return ", ".join(f"{name} {signed(found.mean)}" for name, found in told.items() if found is not None)


def cost(place: Place) -> str:
    """Its seconds of computing as a multiple of the reference's."""
    own, reference = place.arm.seconds, place.task.arm(place.task.reference).seconds
    return NOTHING if not own or not reference else f"{own / reference:.2f}"


def sentence(text: str, language: str = "en") -> str:
    """A phrase as a sentence."""
    return text[0].upper() + text[1:] + TEXTS[language]["stop"]


def standings(evidence: Evidence, names: Sequence[str]) -> dict[str, object]:
    """The remedies that were measured to come closer to the target than the reference, and those that lead away.

    Closer: beyond the curve, or closer in one of the two axes and farther in none; farther: the other way round. It is
    judged by the tasks that `remedy` speaks of; one that says neither, or both, is in no list.
    """
    found: dict[str, list[str]] = {"closer": [], "farther": []}
    for name in names:
        signs: set[int] = set()
        for place in chosen_places(evidence, name):
            figures = place.arm.figures[ALL]
            own = {figures[axis].closer.sign for axis in place.task.axes if figures[axis].closer is not None}
            curve = -place.away.sign if place.away is not None and place.arm.place is None else 0
            signs |= {curve} if curve else own
        signs -= {0}
        if len(signs) == 1:
            found["closer" if signs == {1} else "farther"].append(name)
    return {**found}


def chosen_places(evidence: Evidence, name: str) -> list[Place]:
    """Where a remedy was measured, on two tasks at most: the first task and the one with most runs."""
    run = [place for place in evidence.places(evidence.arms["remedies"].get(name, ())) if place.arm.runs]
    there = [place.task.name for place in run]
    tasks = [task for task in (evidence.arms["first_task"], evidence.fullest.name) if task in there] or there[:1]
    return [place for place in run if place.task.name in tasks]


def remedy(evidence: Evidence, name: str, language: str) -> str:
    """What was measured of a remedy of the diagnosis, on two tasks at most."""
    texts = TEXTS[language]
    if name in evidence.arms["told"]:
        return str(evidence.arms["told"][name][language])
    places = evidence.places(evidence.arms["remedies"].get(name, ()))
    run = [place for place in places if place.arm.runs]
    said = [sentence(texts["control"], language)] if places and places[0].arm.is_null else []
    if not run:
        key = "null_missing" if said else "missing" if places else "not"
        return texts["between"].join([*said, sentence(texts[key], language)])
    said += [texts["near"]] if name in evidence.arms["near"] else []
    said += [sentence(_compared(place, language), language) for place in chosen_places(evidence, name)]
    return texts["between"].join(said)


def _compared(place: Place, language: str) -> str:
    """Differences from the reference along the two axes, and what follows from them."""
    texts, (task, arm) = TEXTS[language], place
    figures = {name: arm.figures[ALL][name].closer for name in task.axes if name in arm.figures.get(ALL, {})}
    told = texts["comma"].join(f"{name} {interval(found) or NOTHING}" for name, found in figures.items())
    if arm.is_null:
        return texts["null"].format(task=task.name, figures=told)
    said = verdict(place, language)
    if arm.place is not None and len(arm.runs) > 1:  # a fixed value lies on the curve
        parts = []
        for side, sign in (("closer", 1), ("farther", -1)):
            names = [name for name, found in figures.items() if found is not None and found.sign == sign]
            parts += [texts[side].format(names=texts["comma"].join(names))] if names else []
        said = texts["comma"].join(parts) or texts["alike"].format(pairs=len(arm.runs))
    return texts["remedy"].format(arm=arm.name, task=task.name, reference=task.reference, figures=told, verdict=said)


def rows(task: Task, names: Sequence[str], figures: Sequence[str], language: str = "en") -> Iterator[list[str]]:
    """Of each arm its figures, and how much closer to the target than the reference's they are; distance, seconds."""
    for arm in task.arms:
        if arm.name not in names:
            continue
        own = arm.figures.get(ALL, {})
        cells = [_beside(own.get(name), language) for name in figures]
        away = ON_IT if arm.name in task.curve_arms else _told(arm.from_curve, "beyond", "behind", language)
        seconds = NOTHING if arm.seconds is None else f"{arm.seconds:,.0f}"
        yield [arm.name, str(len(arm.runs)), *cells, away, seconds]


def _beside(figure: Figure | None, language: str) -> str:
    if figure is None:
        return NOTHING
    if figure.closer is None:
        return number(figure.mean)
    return f"{number(figure.mean)} ({_told(figure.closer, 'farther', 'closer', language)})"


def _told(found: Estimate | None, below: str, above: str, language: str) -> str:
    """A difference with its interval; in bold with a word where that leaves 0 out, with ? where there is none."""
    if found is None:
        return NOTHING
    if not found.bounded:
        return f"{interval(found)}?"
    word = {-1: below, 1: above, 0: ""}[found.sign]
    return f"**{interval(found)} {TEXTS[language]['tone'][word]}**" if word else interval(found)


def shown_arms(task: Task, names: Sequence[str]) -> list[str]:
    """The reference, these arms and the null pair."""
    return [task.reference, *names, NULL]
