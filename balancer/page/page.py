"""The diagnosis and the report as one HTML file that needs nothing else: no network, no fonts, no other files."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup

from balancer.contract.levels import HEALTHY_D_ADV
from balancer.page.charts import Charts
from balancer.page.knob_charts import knob_charts, shown
from balancer.page.scales import number
from balancer.page.view import RunView
from balancer.record.run_config import flat
from balancer.show.rendered import calibration_passage, render_diagnosis, since_passage
from balancer.show.words import Words, load

if TYPE_CHECKING:
    from balancer.diagnosis.calibrate import Calibration
    from balancer.diagnosis.diagnose import Diagnosis
    from balancer.diagnosis.since import Since

RESTARTS: Final = 5  # marked in the charts at most
TONES: Final = {
    "healthy": "good",
    "watch": "fair",
    "rescue": "fair",
    "rescue_held": "fair",
    "doubtful": "bad",
    "back": "bad",
}

HERE: Final = Path(__file__).parent


def diagnosis_page(
    diagnosis: Diagnosis, lang: str = "en", *, since: Since | None = None, calibration: Calibration | None = None
) -> str:
    """The page about one log.

    Raises:
        ConfigError: there is no such language.
    """
    words = page_words(lang)
    view = view_of(diagnosis, words)
    marks, passages = [*view.marks], []
    if since is not None:
        marks.append((float(since.step), words("page.since_mark", step=since.step)))
        passages.append(since_passage(since, diagnosis, words, number))
    if calibration is not None:
        passages.append(calibration_passage(calibration, words, number))
    return render_page([replace(view, marks=marks, passages=passages)], words)


def page_words(lang: str) -> Words:
    """The words of a diagnosis and those of its page.

    Raises:
        ConfigError: there is no such language.
    """
    return load(lang, [HERE])


def view_of(diagnosis: Diagnosis, words: Words) -> RunView:
    """A diagnosis in words of one language, as the page shows it."""
    source = diagnosis.case.source
    return RunView(
        name=words("page.stdin") if source.path == "-" else Path(source.path).resolve().name,
        history=diagnosis.case.history,
        path=source.path,
        diagnosis=render_diagnosis(diagnosis, words),
        tone=TONES.get(diagnosis.verdict.variant, "unknown"),
        marks=[
            (after, words("ui.restart", before=before, after=after)) for before, after in source.restarts[-RESTARTS:]
        ],
        steps_per_epoch=source.steps_per_epoch,
        healthy=diagnosis.case.units.healthy,
        config=source.config,
    )


@dataclass(frozen=True)
class Live:
    """That a page is served while a log grows: seconds between looks whether there is a newer `version`."""

    every: float
    version: int


def render_page(views: Sequence[RunView], words: Words, live: Live | None = None) -> str:
    """The page about these runs or logs, over the same axes; the same views give the same bytes."""
    views = _with_own_names(views)
    charts = Charts(views, words)
    knobs, constants = knob_charts(charts)
    return template(HERE / "page.html.j2", number=number, shown=shown).render(
        views=views,
        t=words,
        lang="zh-Hant-TW" if words.language == "zh-TW" else words.language,
        names=words("ui.list").join(view.name for view in views),
        summary=summary(views, words),
        balance=charts.balance(),
        document=charts.healthy == HEALTHY_D_ADV,
        healthy=HEALTHY_D_ADV,
        shares=charts.shares(),
        signals=charts.signals(),
        smoothing=charts.smoothing(),
        knobs=knobs,
        constants=constants,
        steps_per_epoch=_common_epoch(views),
        settings=settings_rows(views),
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(_script()),
        policy=page_policy(live is not None),
        live=live,
    )


def template(path: Path, **filters: Callable[..., Any]) -> jinja2.Template:
    """A page's template, in which everything is escaped and nothing may be missing, with filters by name."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(path.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(path.name)


def page_policy(live: bool = False) -> str:
    """The page's Content-Security-Policy: our script alone runs, and reaches where the page came from if it is live."""
    digest = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
    connect = "connect-src 'self'; " if live else ""
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; {connect}"
        "base-uri 'none'; form-action 'none'"
    )


def _script() -> str:
    return (HERE / "page.js").read_text(encoding="utf-8")


def summary(views: Sequence[RunView], words: Words) -> list[tuple[str, list[str]]]:
    """What each run is, in rows of (what, one text for each run); rows that say nothing are left out."""
    rows: dict[str, list[str]] = {}
    for view in views:
        run: Mapping[str, Any] = (view.config or {}).get("run", {})
        history = view.history
        epochs = ""
        if "epoch" in history:
            first, last = float(history["epoch"].low.min()), float(history["epoch"].high.max())
            epochs = number(last - first + 1)
        elif view.steps_per_epoch:
            epochs = number((history.last_step + 1 - history.first_step) / view.steps_per_epoch)
        plugins = ", ".join(run.get("plugins", [])) or words("page.baseline")
        figures = {
            "model": str(run.get("model", "")),
            "plugins": plugins if run else "",
            "steps": f"{history.first_step:,.0f}–{history.last_step:,.0f}" if history.rows else "",
            "epochs": epochs,
            "steps_per_epoch": number(view.steps_per_epoch) if view.steps_per_epoch else "",
            "decided": f"{view.decisions.count:,}" if view.decisions else "",
            "where": view.path,
        }
        for key, text in figures.items():
            rows.setdefault(key, []).append(text)
    return [(words(f"page.{key}"), texts) for key, texts in rows.items() if any(texts)]


def settings_rows(views: Sequence[RunView]) -> list[tuple[str, list[tuple[str, list[str], bool]]]]:
    """Settings by table: rows of (key, its value in each run, whether runs differ in it)."""
    if not any(view.config for view in views):
        return []
    columns = []
    for view in views:
        config = view.config or {}
        versions = {f"versions.{key}": value for key, value in config.get("run", {}).get("versions", {}).items()}
        columns.append({**flat(config), **versions})
    groups: dict[str, list[tuple[str, list[str], bool]]] = {}
    for key in dict.fromkeys(key for column in columns for key in column):
        texts = [_setting(column[key]) if key in column else "—" for column in columns]
        table, _, name = key.partition(".")
        # What only some runs have belongs to a plugin that the others are without, which run.plugins says already.
        differs = len(set(texts)) > 1 and all(key in column for column in columns)
        groups.setdefault(table, []).append((name, texts, differs))
    return list(groups.items())


def _setting(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "[]"
    return json.dumps(value, ensure_ascii=False, default=str)


def _common_epoch(views: Sequence[RunView]) -> float | None:
    found = {view.steps_per_epoch for view in views}
    return found.pop() if len(found) == 1 else None


def _with_own_names(views: Sequence[RunView]) -> list[RunView]:
    """Runs of one name go by their paths."""
    names = [view.name for view in views]
    return [replace(view, name=view.path) if names.count(view.name) > 1 and view.path else view for view in views]
