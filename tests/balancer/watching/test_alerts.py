"""A command is run once for each stretch of a finding, with nothing of the log but what is safe in a shell."""

from __future__ import annotations

import time
from pathlib import Path

from balancer.diagnosis.diagnose import Diagnosis, diagnose
from balancer.watching.alerts import QUIET_LOOKS, Alert, Alerts, Stretches

CASE = Path(__file__).parents[3] / "docs" / "case.log"


def case(lines: int) -> Diagnosis:
    text = CASE.read_text(encoding="utf-8").splitlines(keepends=True)
    path = Path("case.log")
    path.write_text("".join(text[:lines]), encoding="utf-8")
    return diagnose(path)


def ended(alerts: Alerts) -> list[str]:
    remarks: list[str] = []
    while alerts.running:
        remarks += alerts.ended()
        time.sleep(0.01)
    return remarks


def test_a_finding_that_comes_and_goes_appears_once() -> None:
    stretches = Stretches()
    assert stretches.appeared({"saturated"}) == {"saturated"}
    for look in range(40):  # at the edge of a threshold
        assert stretches.appeared({"saturated"} if look % QUIET_LOOKS == 0 else set()) == set()


def test_a_finding_that_was_away_for_five_looks_appears_anew() -> None:
    stretches = Stretches()
    stretches.appeared({"saturated", "starved"})
    for _ in range(QUIET_LOOKS - 1):
        stretches.appeared({"starved"})
    assert stretches.appeared({"saturated", "starved"}) == set()
    for _ in range(QUIET_LOOKS):
        assert stretches.appeared({"starved"}) == set()
    assert stretches.appeared({"saturated", "starved"}) == {"saturated"}


def test_a_command_is_told_what_was_found_in_its_environment(here: Path) -> None:
    said = 'printf "%s|%s|%s\\n" "$BALANCER_FINDING" "$BALANCER_STEP" "$BALANCER_PATH" >> said'
    alerts = Alerts([Alert(frozenset({"saturated"}), said)], "runs/a\x1b[2J\nb$(touch owned)'.log")
    found = case(40)
    for _ in range(3):
        assert not list(alerts.look(found))
    assert not ended(alerts)
    last = f"{found.case.history.last_step:.0f}"
    assert (here / "said").read_text() == f"saturated.lasting|{last}|runs/a\\x1b[2J b$(touch owned)'.log\n"
    assert not (here / "owned").exists()


def test_any_is_each_finding_that_appears(here: Path) -> None:
    alerts = Alerts([Alert(frozenset({"any"}), 'echo "$BALANCER_FINDING" >> said')], "a.log")
    early, late = case(14), case(61)
    for found in (early, late, late):
        list(alerts.look(found))
        ended(alerts)
    words = (here / "said").read_text().split()
    assert sorted(words) == sorted({finding.words for finding in [*early.findings, *late.findings]})
    assert len(early.findings) < len(words)


def test_a_command_that_fails_is_a_remark(here: Path) -> None:
    alerts = Alerts([Alert(frozenset({"saturated"}), "exit 3"), Alert(frozenset({"starved"}), "true")], "a.log")
    assert not list(alerts.look(case(40)))
    assert ended(alerts) == ["--run exit 3: it ended with status 3"]


def test_a_command_is_not_waited_for(here: Path) -> None:
    # It ends only once the file is there that is made after the look.
    alerts = Alerts([Alert(frozenset({"saturated"}), "while [ ! -e go ]; do sleep 0.01; done; touch done")], "a.log")
    assert not list(alerts.look(case(40)))
    assert not list(alerts.ended()) and alerts.running and not (here / "done").exists()
    (here / "go").touch()
    assert not ended(alerts) and (here / "done").exists()
