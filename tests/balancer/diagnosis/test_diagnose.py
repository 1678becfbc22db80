"""The diagnosis as a notebook uses it: functions that return data, without the command line and without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.page_reader import check_self_contained

import balancer
from balancer.diagnosis import Case, Extension
from balancer.errors import ConfigError

CASE = Path(__file__).parents[3] / "docs" / "case.log"


@pytest.fixture(scope="module")
def case() -> balancer.Diagnosis:
    return balancer.diagnose(CASE, items=6645)


def test_findings_are_data(case: balancer.Diagnosis) -> None:
    first = case.findings[0]
    assert (first.rule, first.variant, first.confidence) == ("saturated", "lasting", "high")
    assert float(first.evidence["median"]) < 0.05 and first.remedies[0] == "raise_lambda"
    assert case.verdict.variant == "rescue_held"
    assert {"saturated", "saturated.lasting", "any"} <= case.keys and "divergence" not in case.keys
    assert case.case.history["d_adv"].values.max() <= 0.01


def test_a_change_is_judged_and_weights_are_proposed(case: balancer.Diagnosis) -> None:
    since = case.since(66_000)
    assert not since.helped and since.next_remedy is not None
    made = case.calibrate({"adv": 0.1})
    assert {row.term: row.new_share for row in made.weights}["adv"] == pytest.approx(0.1)
    assert case.calibrate().from_document
    with pytest.raises(ConfigError, match="the log holds steps"):
        case.since(1)


@pytest.mark.parametrize("lang, title", [("en", "D is saturated, and lastingly so"), ("zh-TW", "D 已飽和")])
def test_words_come_in_both_languages(case: balancer.Diagnosis, lang: str, title: str) -> None:
    data = balancer.as_data(case, lang, since=case.since(66_000), calibration=case.calibrate())
    assert title in data["findings"][0]["title"] and data["since"]["step"] == 66_000
    json.dumps(data)
    text = balancer.as_text(case, lang, width=60)
    assert title in text and "\x1b" not in text
    assert data["verdict"]["title"] in text
    assert check_self_contained(balancer.report([case], lang=lang).html()).ids[0] == "findings"


def test_what_the_user_says_of_a_log_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("step,D,G\n" + "".join(f"{step},0.5,2.0\n" for step in range(50)))
    made = balancer.diagnose(path, tags={"d_loss": "D", "adv": "G"}, d_loss="sum", weights={"adv": 2.0})
    assert made.case.history["d_adv"].values[0] == pytest.approx(0.25)
    assert made.case.units.weights == {"adv": 2.0}
    text = tmp_path / "other.log"
    text.write_text("".join(f"it {step} D 0.{step + 10}\n" for step in range(30)))
    made = balancer.diagnose(text, pattern=r"it (?P<step>\d+) D (?P<d_loss>\S+)", adversarial="lsgan")
    assert made.case.units.adversarial == "lsgan" and made.case.history.rows == 30


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_odd_weights_are_refused(weight: float) -> None:
    with pytest.raises(ConfigError, match=r"--weight l1=.*: expected a number of at least 0"):
        balancer.diagnose(CASE, weights={"l1": weight})


def test_a_report_takes_paths_and_diagnoses_and_is_written(case: balancer.Diagnosis, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,d_loss,g_loss\n" + "".join(f"{step},0.{4 + step % 3},2.0\n" for step in range(50)))
    report = balancer.report([path, case])
    assert [one.verdict.variant for one in report.diagnoses] == ["healthy", "rescue_held"]
    report.write(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == report.html()
    assert "log.csv" in report.html() and "case.log" in report.html()


def test_an_unknown_language_is_refused_before_anything_is_read(case: balancer.Diagnosis) -> None:
    for call in (lambda: balancer.report(["nowhere"], lang="fr"), lambda: balancer.as_text(case, "fr")):
        with pytest.raises(ConfigError, match="known are en, zh-TW"):
            call()


def test_neither_the_functions_nor_their_page_import_torch() -> None:
    code = (
        "import sys, balancer\n"
        f"made = balancer.diagnose({str(CASE)!r})\n"
        "balancer.report([made]).html(), balancer.as_text(made), balancer.as_data(made)\n"
        "assert 'torch' not in sys.modules and 'balancer.cli' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_extension_may_still_call_its_import_command_by_the_old_name(case: balancer.Diagnosis) -> None:
    with pytest.warns(DeprecationWarning, match="Old.adopt is now import_command"):

        class Old(Extension):
            name = "old"

            def adopt(self, case: Case, into: str) -> str:
                return f"import into {into}"

    assert Old().import_command(case.case, "runs/x") == "import into runs/x"
