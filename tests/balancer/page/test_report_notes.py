"""A run's notes on its page: a short list of their own, escaped, and no decisions."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.page_reader import check_self_contained
from support.point_runs import SKIP, ran

from balancer.contract.notes import NOTE_KINDS, Note
from balancer.page.page import page_words
from balancer.page.report import MOST_NOTES, report, run_view
from balancer.record.recorder import Recorder
from balancer.show.words import LANGUAGES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = ran(tmp_path_factory.mktemp("notes") / "run", "d_skip", SKIP, steps=12)
    recorder = Recorder(folder, 10)
    for step in range(MOST_NOTES + 2):
        text = f"<script>alert({step})</script> lambda_adv" if step == 1 else f"remark {step}"
        recorder.note(Note(step, 0, NOTE_KINDS[step % len(NOTE_KINDS)], "<b>notch", text))
    recorder.close()
    return folder


@pytest.mark.parametrize("language", LANGUAGES)
def test_they_stand_in_a_section_of_their_own(folder: Path, language: str) -> None:
    page = report([folder], lang=language).html()
    reader = check_self_contained(page)
    assert "notes" in reader.ids
    assert "<script>alert" not in page and "<b>notch" not in page
    for text in ("<script>alert(1)</script> lambda_adv", "<b>notch", f"remark {MOST_NOTES - 1}"):
        assert text in reader.text
    assert f"remark {MOST_NOTES}" not in reader.text
    assert page_words(language)("page.notes_left_out", count=2) in reader.text


def test_they_are_neither_decisions_nor_damage(folder: Path, tmp_path: Path) -> None:
    plain = ran(tmp_path / "run", "d_skip", SKIP, steps=12)
    views = [run_view(diagnosis, page_words("en")) for diagnosis in report([folder, plain]).diagnoses]
    noted, without = (view.decisions for view in views)
    assert noted is not None and without is not None
    assert (noted.count, noted.broken) == (without.count, 0)
    assert noted.chosen == without.chosen
    assert (len(views[0].notes), len(views[1].notes)) == (MOST_NOTES, 0)
    assert "notes" not in check_self_contained(report([plain]).html()).ids
