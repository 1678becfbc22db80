"""Contact sheets: every glyph is there, unaltered, beside its row's label."""

import numpy as np
import pytest

from zi2zi_model.data.sheet import contact_sheet


def glyphs(count: int) -> list[np.ndarray]:
    return list(np.random.default_rng(count).integers(0, 256, (count, 16, 16), dtype=np.uint8))


def holds(sheet: np.ndarray, glyph: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(sheet, glyph.shape)
    return bool((windows == glyph).all(axis=(2, 3)).any())


def test_every_glyph_is_there_unaltered() -> None:
    rows = [glyphs(3), glyphs(4), glyphs(2)]
    sheet = np.asarray(contact_sheet(rows, ["source", "output", "target"]))
    assert all(holds(sheet, glyph) for row in rows for glyph in row)
    assert (sheet[:4] == sheet[-4:]).all()
    assert sheet[0].min() == 255


def test_labels_stand_left_of_their_rows() -> None:
    rows = [glyphs(2), glyphs(2)]
    plain, labelled = (np.asarray(contact_sheet(rows, labels)) for labels in (None, ["", "with plugins"]))
    assert labelled.shape[0] == plain.shape[0]
    added = labelled[:, : labelled.shape[1] - plain.shape[1]]
    middle = plain.shape[0] // 2
    assert added[: middle - 2].min() == 255
    assert added[middle:].min() < 128


def test_headings_name_what_follows_in_any_script() -> None:
    rows, letter = [glyphs(2), glyphs(3)], np.full((16, 16), 17, np.uint8)
    plain = np.asarray(contact_sheet(rows, ["", ""]))
    asked = {
        headings: contact_sheet(rows, ["", ""], headings={1: headings}, letters={"永": letter})
        for headings in ("a永", "a", "?永", "和永")
    }
    named = {heading: np.asarray(sheet) for heading, sheet in asked.items()}
    added = named["a永"].shape[0] - plain.shape[0]
    assert added > 0
    first = plain.shape[0] // 2
    assert (named["a永"][:first, : plain.shape[1]] == plain[:first]).all(), "the first row has none above it"
    assert holds(named["a永"], np.full((18, 18), 17, np.uint8)) and not holds(
        named["a"], np.full((18, 18), 17, np.uint8)
    )
    assert (named["a"][first : first + added] < 128).any()
    assert (named["和永"] == named["?永"]).all()
    assert all(holds(named["a永"], glyph) for row in rows for glyph in row)


def test_a_long_heading_is_shown_whole() -> None:
    sheet = contact_sheet([glyphs(1)], headings={0: "style 0: " + 20 * "m" + "|"})
    assert sheet.width > 200
    assert (np.asarray(sheet)[:30, -40:] < 200).any()


def test_zoom_enlarges_the_glyphs() -> None:
    once, twice = (contact_sheet([glyphs(4)], zoom=zoom) for zoom in (1, 2))
    assert twice.width - once.width == 4 * 16
    assert twice.height - once.height == 16


def test_labels_must_match_rows() -> None:
    with pytest.raises(ValueError, match="1 labels for 2 rows"):
        contact_sheet([glyphs(1), glyphs(1)], ["source"])
