"""What zi2zi adds to a diagnosis: its rules on made logs, its words in both languages, the networks it can tell."""

from __future__ import annotations

import math
import string
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.zi2zi_logs import Losses, healthy, lines, read, starved

from balancer.diagnosis.derived import derive
from balancer.diagnosis.diagnose import diagnose_history
from balancer.diagnosis.extension import extensions
from balancer.diagnosis.finding import Case, Finding, Structure, judge
from balancer.diagnosis.units import Units
from balancer.reading.history import History
from balancer.reading.source import Fact, Source
from balancer.show.words import LANGUAGES, load
from zi2zi_model.diagnosis.extension import EXTENSION

WORDS = Path(__file__).parents[3] / "zi2zi_model" / "diagnosis" / "words"


def case_of(
    history: History,
    source: Source,
    told: Units | None = None,
    structure: Structure | None = None,
    items: int | None = None,
) -> Case:
    units = EXTENSION.units(history, source, told or Units()) or Units()
    derive(history, units)
    return Case(history, source, units, structure, items)


def found(case: Case) -> dict[str, Finding]:
    findings, _ = judge(EXTENSION.rules, case)
    return {finding.words: finding for finding in findings}


def of_log(made: Sequence[Losses], form: str = "fork", weights: tuple[float, float] = (90, 5), **how: Any) -> Case:
    history, source, _ = read(lines(made, form, weights, **how))
    return case_of(history, source)


def test_it_is_found_by_its_entry_point() -> None:
    assert extensions()["zi2zi"] is EXTENSION
    assert isinstance(EXTENSION.parser(), type(EXTENSION.parser()))
    assert EXTENSION.parser() is not EXTENSION.parser()


def test_nothing_of_it_imports_torch() -> None:
    code = "import sys, zi2zi_model.diagnosis.extension as d; d.EXTENSION.parser(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_document_case() -> None:
    case = of_log(starved(), resumed=64010)
    remarks = found(case)
    assert not [finding for finding in remarks.values() if not finding.remark]
    fit = remarks["weights_fit.fit_90_5"].evidence
    figures = [fit[name] for name in ("g_first", "g_last", "made_first", "made_last", "assumed_first", "assumed_last")]
    assert figures == pytest.approx([27.9, 35.9, 27.9, 35.9, 33.2, 41.2], abs=0.5)
    assert [fit["share_first"], fit["share_last"]] == pytest.approx([0.14, 0.33], abs=0.01)
    assert remarks["units.g_raw"].evidence["l1"] == 90
    assert remarks["resume.plain"].evidence["step"] == "64,010"
    assert remarks["generator_size.family"].evidence["millions"] == 52.875
    assert remarks["data_size.log_d"].evidence["items"] == 6656
    assert {"category_zero.always", "const_loss", "discriminator.global", "units.d_mean_format"} <= remarks.keys()
    text = load("en", [WORDS])("weights_fit.fit_90_5.text", **fit)
    assert "90 × L1 + 5 × const" in text and "33" in text


def test_the_document_case_as_a_whole() -> None:
    history, source, _ = read(lines(starved(), "fork", (90, 5), resumed=64010))
    whole = diagnose_history(history, source, items=6645)
    assert {"saturated", "starved"} <= {finding.rule for finding in whole.findings}
    told = {finding.words: finding for finding in whole.remarks}
    assert told["data_size.told_d"].evidence["items"] == 6645
    assert told["data_size.told_d"].evidence["batch"] == 16


@pytest.mark.parametrize("form", ["tf", "port", "fork", "later", "two-line"])
@pytest.mark.parametrize("category", [True, False])
def test_a_healthy_log_has_no_problems(form: str, category: bool) -> None:
    for seed in range(12):
        findings = found(of_log(healthy(200, seed, category), form, (100, 15)))
        assert all(finding.remark for finding in findings.values()), seed
        assert ("category_zero.always" in findings) == (not category and form not in ("later", "two-line"))


@pytest.mark.parametrize("rows", range(1, 11))
def test_short_logs_support_little(rows: int) -> None:
    findings = found(of_log(starved()[:rows]))
    assert all(finding.remark for finding in findings.values())
    assert "style_collapse" not in findings
    assert findings["category_zero.always"].confidence == "low"


def test_a_rising_category_loss() -> None:
    made = [replace(row, cat=0.01 + 0.3 * index / 400) for index, row in enumerate(healthy(category=False))]
    findings = found(of_log(made))
    assert findings["style_collapse"].confidence == "low"
    assert "category_zero.always" not in findings
    assert "units.category_inside" in findings


def test_a_cheat_loss_that_cannot_be() -> None:
    made = [replace(row, adv=0.5 * -math.log(-math.expm1(-2 * row.d))) for row in starved()]
    finding = found(of_log(made))["inconsistent_columns.cheat_below"]
    assert float(finding.evidence["adv"]) < 0.6 * float(finding.evidence["least"])
    # At the minimum itself, or shortly below it, nothing is wrong.
    made = [replace(row, adv=0.95 * -math.log(-math.expm1(-2 * row.d))) for row in starved()]
    assert "inconsistent_columns.cheat_below" not in found(of_log(made))


def test_d_blown_up() -> None:
    made = [replace(row, trust=0.5) for row in healthy(category=False)]
    made[200:240] = [Losses(7.0, 0.02, 0.3, 0.3, trust=0.05)] * 40
    finding = found(of_log(made, "later"))["d_blow_band"]
    assert finding.steps == (20_000, 23_900)
    assert finding.evidence["highest"] == 7.0
    low = [replace(row, trust=0.05) for row in healthy(category=False)]
    assert "d_blow_band" not in found(of_log(low, "later"))


def test_lambda_adv_of_a_run_from_scratch() -> None:
    made = [replace(row, trust=0.6 if index < 3 else 0.35) for index, row in enumerate(healthy())]
    assert "lambda_adv_start" in found(of_log(made, "later"))
    assert "lambda_adv_start" not in found(of_log(made, "later", resumed=500))
    assert "lambda_adv_start" not in found(of_log(made[3:], "later"))


def test_learning_rates() -> None:
    long = healthy(3000)
    assert found(of_log(long[:100]))["decay.plain"].evidence["d_last"] == pytest.approx(1e-3 * 0.99**23, abs=1e-6)
    assert found(of_log(long))["decay.floor"].evidence["floor"] == 2e-4
    finding = found(of_log(long, rates=(25e-5, 1e-3)))["decay.floor_ratio"]
    assert (finding.evidence["ratio_first"], finding.evidence["ratio_last"]) == (pytest.approx(0.25), pytest.approx(1))
    assert "decay" not in {key.partition(".")[0] for key in found(of_log(long[:3]))}


def test_a_learning_rate_that_jumps_back_at_a_resume() -> None:
    text = [*lines(healthy(40)), *lines(healthy(40), resumed=4000)]
    finding = found(case_of(*read(text)[:2]))["resume.rate_back"]
    assert finding.evidence["network"] == "D"
    assert float(finding.evidence["after"]) > float(finding.evidence["before"])


def test_our_own_runs_have_no_faults_of_the_ports() -> None:
    history = History()
    for step in range(100):
        history.add(step, {"d_adv": 0.2, "adv": 1.5, "l1": 0.2, "const": 0.3, "category": 0.0, "lambda_adv": 0.6})
    source = Source("runs/x", "run", "zi2zi", facts=[Fact("resumed", 5, {"step": 5.0})])
    structure = Structure(2_268_132, 273_626, ("64ch@8px",), 200, 8, {"d_head": "patch"})
    findings = found(case_of(history, source, structure=structure))
    assert findings.keys() == {
        "category_zero.always",
        "generator_size.small",
        "discriminator.patch",
        "attention.shallower",
        "data_size.told_d",
    }


def every_case() -> list[Case]:
    """Cases that call forth every wording."""
    calm = healthy(category=False)
    parts = [replace(row, l1=0.2 + 0.05 * math.sin(index), const=0.3) for index, row in enumerate(calm)]
    alike = [replace(row, const=1.2 * row.l1) for row in calm]
    blown = [replace(row, trust=0.05, d=7.0) if index > 300 else row for index, row in enumerate(calm)]
    odd = [replace(row, tv=10 * math.sin(index) ** 2) for index, row in enumerate(calm)]
    low = [replace(row, adv=0.01) for row in starved()]
    floor = [replace(row, adv=-math.log(-math.expm1(-2 * row.d)) * 1.02) for row in calm[1:]]
    doubled = [replace(row, d=2 * row.d, adv=-math.log(-math.expm1(-row.d)) * 1.1) for row in calm]
    rising = [replace(row, cat=0.01 + 0.3 * index / 400) for index, row in enumerate(calm)]
    settled = [replace(row, cat=0.3 * math.exp(-index / 10)) for index, row in enumerate(calm)]
    trusted = [replace(row, trust=0.6) for row in calm]
    cases = [
        of_log(made, form, weights, **how)
        for made, form, weights, how in (
            (starved(), "fork", (90, 5), {"resumed": 64010}),
            (calm, "fork", (100, 15), {}),
            (calm, "fork", (97, 15), {}),
            (parts, "fork", (70, 22), {}),
            (alike, "fork", (70, 22), {}),
            (odd, "fork", (90, 5), {}),
            (low, "fork", (90, 5), {}),
            (rising, "fork", (90, 5), {}),
            (settled, "fork", (90, 5), {}),
            (doubled, "fork", (90, 5), {}),
            (blown, "later", (90, 5), {}),
            (trusted, "later", (90, 5), {"rates": (25e-5, 1e-3)}),
            (healthy(), "port", (100, 15), {}),
            (healthy()[5:], "port", (100, 15), {}),
            (healthy()[5:], "two-line", (100, 15), {}),
            (healthy(3000), "fork", (90, 5), {}),
            (healthy(3000), "fork", (90, 5), {"rates": (25e-5, 1e-3)}),
        )
    ]
    cases.append(case_of(*read([*lines(healthy(40)), *lines(healthy(40), resumed=4000)])[:2]))
    history, source, _ = read(lines(floor))
    cases.append(case_of(history, replace(source, format="port")))
    history, source, _ = read(lines(calm, "port", (100, 15)))
    cases.append(case_of(history, replace(source, format="fork")))
    unsized = [line for line in lines(calm, "two-line") if "parameters" not in line]
    cases.append(case_of(*read(unsized)[:2]))
    for kind in ("mean", "sum"):
        told = Units(d_loss_kind=kind, d_basis="told", weights={"l1": 90.0, "const": 5.0}, weights_basis="told")  # type: ignore[arg-type]
        cases.append(case_of(*read(lines(calm))[:2], told))
    decays = [("D", 1e-3, 9e-4), ("G", 1e-3, 9e-4), ("D", 9e-4, 3e-4)]
    for chosen in (decays, decays[:1]):
        source = Source("x", "log", "zi2zi")
        source.facts = [Fact("learning_rate", 1, {"network": n, "old": old, "new": new}) for n, old, new in chosen]
        cases.append(case_of(History(), source))
    for structure, items in (
        (Structure(120_000_000, 5_000_000, ("512ch@12px", "512ch@3px"), facts={"d_head": "global"}), None),
        (Structure(2_000_000, 300_000, ("128ch@8px",), 200, 8, facts={"d_head": "patch"}), None),
        (None, 6645),
    ):
        cases.append(case_of(History(), Source("x", "run", "zi2zi"), structure=structure, items=items))
    return cases


@pytest.fixture(scope="module")
def told() -> list[Finding]:
    """Every finding of all these cases."""
    return [finding for case in every_case() for finding in judge(EXTENSION.rules, case)[0]]


def tables(language: str) -> dict[str, str]:
    """Texts by dotted key."""
    flat: dict[str, str] = {}

    def walk(prefix: str, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            if isinstance(value, str):
                flat[f"{prefix}.{key}"] = value
            else:
                walk(f"{prefix}.{key}" if prefix else key, value)

    walk("", tomllib.loads((WORDS / f"zi2zi.{language}.toml").read_text(encoding="utf-8")))
    return flat


def test_both_languages_say_the_same() -> None:
    english, chinese = (
        {
            key: {name for _, name, _, _ in string.Formatter().parse(text) if name}
            for key, text in tables(language).items()
        }
        for language in LANGUAGES
    )
    assert english == chinese
    assert list(tables("en")) == list(tables("zh-TW"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_finding_has_words(language: str, told: list[Finding]) -> None:
    words = load(language, [WORDS])
    for finding in told:
        title, text = (words(f"{finding.words}.{part}", **finding.evidence) for part in ("title", "text"))
        assert title and text
        assert not {"nan", "inf"} & set(text.replace("(", " ").split())


def test_no_words_are_left_over(told: list[Finding]) -> None:
    used = {f"{finding.words}.{part}" for finding in told for part in ("title", "text")}
    assert set(tables("en")) == used
