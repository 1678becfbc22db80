"""A short version of the flipped bits that `make faults` tries, and a reader without checksums, which it must catch."""

from __future__ import annotations

import pytest

from faults.flips import Flips


@pytest.fixture(scope="module")
def flips(tmp_path_factory: pytest.TempPathFactory) -> Flips:
    return Flips(tmp_path_factory.mktemp("flips"), seed=1)


def test_a_flipped_bit_is_said_or_changes_nothing(flips: Flips) -> None:
    rows = list(flips.rows(12, 0))
    assert {"config.toml", "signals.bin", "signals.json", "decisions.jsonl", "compositions.jsonl"} < {*flips.names}
    assert sum("tfevents" in name for name in flips.names) == 1
    for _, tried, lost in rows:
        assert (tried, lost) == (12, [])


def test_a_run_goes_on_from_flipped_bits(flips: Flips) -> None:
    of_rows = [name for name in flips.names if name in ("signals.bin", "decisions.jsonl") or "tfevents" in name]
    assert [lost for _, _, lost in flips.rows(0, 1, names=of_rows)] == [[]] * 3


def test_what_trusts_its_rows_is_caught(flips: Flips, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("balancer.record.decisions.holds", lambda line: True)
    ((_, _, lost),) = flips.rows(40, 0, names=["decisions.jsonl"])
    assert any("nothing is said" in one or "never held" in one for one in lost)
