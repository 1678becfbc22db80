"""The page says what a diagnosis says, for any log, in both languages, and needs nothing else to be read."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
from support.histories import document_signals, healthy_signals, judged, run_of
from support.page_reader import check_self_contained

from balancer.diagnosis.calibrate import calibrate
from balancer.diagnosis.diagnose import Diagnosis
from balancer.page.charts import Charts, shares
from balancer.page.page import diagnosis_page, page_words, render_page, settings_rows
from balancer.page.view import RunView
from balancer.reading.history import History
from balancer.reading.series import Series
from balancer.show import words
from balancer.show.rendered import RenderedDiagnosis, RenderedFinding, RenderedRemedy

ENGLISH = page_words("en")
NASTY = '<script>alert("&")</script>'


@pytest.fixture(scope="module")
def case() -> Diagnosis:
    return judged(run_of(document_signals, first=64010), steps_per_epoch=416.0, items=6645)


def history_of(count: int = 50, **signals: float) -> History:
    history = History()
    for step in range(count):
        history.add(step, signals)
    return history


def test_a_log_has_its_findings_and_a_chart_for_each_signal(case: Diagnosis) -> None:
    calibration = replace(calibrate(case.case, {}), ours=True)
    page = diagnosis_page(case, since=case.since(80_000), calibration=calibration)
    reader = check_self_contained(page)
    assert reader.ids == ["findings", "balance", "shares", "signals"]
    assert "D is saturated, and lastingly so" in reader.text
    assert reader.text.count("measured: ") >= 5 and "balancer plugins show d_lr_ratio" in reader.text
    assert "Since step 80,000" in reader.text and "--set model.lambda_const=" in reader.text
    charts = [str(svg["aria-label"]) for svg in reader.find("svg") if svg.get("role") == "img"]
    for name in ("d_adv", "d_loss", "g_loss", "adv", "l1", "const"):
        assert any(label.startswith(f"{name} — ") for label in charts), name
    assert "64,010" in reader.text


def test_a_saturated_log_is_drawn_where_it_can_be_seen(case: Diagnosis) -> None:
    page = diagnosis_page(case)
    assert "Logarithmic axis, because" in page
    (balance,) = (plot for plot in re.findall(r'data-y="([^"]*)"', page)[:1])
    low, high, kind = balance.split(",")
    assert kind == "log" and float(low) < 0.0005 and 0.7 < float(high) < 3


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_both_languages(case: Diagnosis, language: str) -> None:
    reader = check_self_contained(diagnosis_page(case, language))
    (html,) = reader.find("html")
    assert html["lang"] == {"en": "en", "zh-TW": "zh-Hant-TW"}[language]
    assert ("D 與 G 的平衡" in reader.text) == (language == "zh-TW")
    assert ("Balance of D and G" in reader.text) == (language == "en")
    assert "{" not in reader.text


def test_the_same_diagnosis_gives_the_same_bytes(case: Diagnosis) -> None:
    assert diagnosis_page(case) == diagnosis_page(case)


def test_a_healthy_log_says_so() -> None:
    reader = check_self_contained(diagnosis_page(judged(run_of(healthy_signals))))
    assert "Verdict: No problem found" in reader.text
    assert reader.find("div", "good")


def test_a_remedy_is_explained_once(case: Diagnosis) -> None:
    remedy = RenderedRemedy("same", 7, "Do this", "the document's words", "what was measured", ("do it",))
    findings = [RenderedFinding("r", f"title {n}", "text", "", "high", (remedy,)) for n in range(3)]
    diagnosis = RenderedDiagnosis(RenderedFinding("verdict", "Yes", "text"), findings=findings)
    reader = check_self_contained(render_page([RunView("log", case.case.history, diagnosis=diagnosis)], ENGLISH))
    assert reader.text.count("Do this") == 3 and reader.text.count("the document's words") == 1


def test_everything_from_outside_is_escaped() -> None:
    remedy = RenderedRemedy(NASTY, None, NASTY, NASTY, NASTY, (NASTY,))
    finding = RenderedFinding(NASTY, NASTY, NASTY, NASTY, NASTY, (remedy,))
    view = RunView(
        NASTY,
        history_of(**{"d_adv": 0.2, NASTY: 1.0, f"{NASTY}_share": 0.5, "lambda_" + NASTY: 1.0}),
        path=NASTY,
        diagnosis=RenderedDiagnosis(finding, [NASTY], [finding], [finding], [NASTY], [NASTY]),
        marks=[(10.0, NASTY)],
        config={"run": {"model": NASTY, "plugins": [NASTY], "versions": {NASTY: NASTY}}, "model": {NASTY: NASTY}},
    )
    page = render_page([view, view], ENGLISH)
    check_self_contained(page)
    assert NASTY not in page and "<script>alert" not in page


def test_the_policy_lets_our_script_run_and_no_other(case: Diagnosis) -> None:
    page = diagnosis_page(case)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src &#39;sha256-{digest}&#39;" in page


def test_a_log_with_next_to_nothing_still_has_a_page() -> None:
    for history in (History(), history_of(1, d_loss=0.5), history_of(1, epoch=0.0), history_of(3, g_loss=float("nan"))):
        check_self_contained(render_page([RunView("log", history)], ENGLISH))


def test_values_that_are_not_finite_are_counted() -> None:
    history = history_of(50, g_loss=1.0)
    history.add(50, {"g_loss": float("nan")})
    assert "NaN or infinite 1 times, first at step 50" in render_page([RunView("log", history)], ENGLISH)


def test_shares_add_up_however_long_the_log_is() -> None:
    random = np.random.default_rng(0)
    history, steps = History(), np.arange(20_000.0)
    adv = random.uniform(0.1, 0.6, len(steps))
    for name, values in {"adv": adv, "l1": adv, "adv_share": adv, "l1_share": 1 - adv}.items():
        history.series[name] = made = Series()
        made.extend(steps, values)
    history.last_step = steps[-1]
    at, found = shares(RunView("log", history), 500)
    assert len(at) <= 600 and list(found) == ["adv", "l1"]
    assert found["adv"] + found["l1"] == pytest.approx(np.ones(len(at)))


def test_several_logs_share_their_axes_and_are_told_apart() -> None:
    views = [
        RunView("same", history_of(50, d_adv=0.3, adv=1.0, adv_share=0.2, l1=1.0, l1_share=0.8), path="one/same"),
        RunView("same", history_of(200, d_adv=0.001, adv=9.0, adv_share=0.7, l1=1.0, l1_share=0.3), path="two/same"),
    ]
    page = render_page(views, ENGLISH)
    reader = check_self_contained(page)
    assert "one/same" in reader.text and "two/same" in reader.text
    assert len(set(re.findall(r'data-x="([^"]*)"', page))) == 1
    # Each d_adv line in a colour of its own, both in one plot; shares in two.
    balance = Charts(views, ENGLISH).balance()
    assert balance is not None and [line.style for line in balance.lines] == [0, 1] and balance.y.log
    assert reader.text.count("Share of each term") == 2


def test_settings_that_differ_are_marked_but_not_those_of_a_plugin_that_one_run_lacks() -> None:
    def view(seed: int, **more: object) -> RunView:
        config = {"run": {"model": "points", "plugins": list(more)}, "train": {"seed": seed, "lr": 1e-4}, **more}
        return RunView(f"run {seed}", history_of(d_adv=0.2), config=config)

    rows = settings_rows([view(1, d_skip={"period": 2}), view(2)])
    marked = {f"{table}.{name}" for table, found in rows for name, _, differs in found if differs}
    assert marked == {"run.plugins", "train.seed"}
    assert dict(rows)["d_skip"] == [("period", ["2", "—"], False)]
