"""Tables that were printed for readers: in columns of blanks, with frames, in Markdown."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_logs import reading

ROWS = range(1, 41)
FIGURES = [(n // 11, 10 * n, round(0.7 - n / 100, 3), round(1 + n / 50, 3)) for n in ROWS]


def assert_read(path: Path, text: str, skipped: int = 0) -> None:
    history, source = reading(path, text)
    assert (source.kind, source.kept, source.skipped, source.unread.count) == ("csv", 40, skipped, 0)
    assert history["d_loss"].steps.tolist() == [float(step) for _, step, _, _ in FIGURES]
    assert history["d_loss"].values.tolist() == [d for _, _, d, _ in FIGURES]
    assert history["g_loss"].values.tolist() == [g for _, _, _, g in FIGURES]


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("epoch step D_loss G_loss", "{} {} {} {}"),
        (" epoch   step   D_loss   G_loss", "{:6d} {:6d} {:8.3f} {:8.3f}"),
        ("epoch  step  D loss  G loss", "{:5d}  {:4d}  {:6.3f}  {:6.3f}"),
        ("epoch\tstep\tD_loss\tG_loss", "{}\t{}\t{}\t{}"),
        ("| epoch | step | D loss | G loss |\n|---|---:|:--:|---|", "| {} | {} | {} | {} |"),
        ("epoch | step | **D loss** | `G loss`\n--- | --- | --- | ---", "{} | {} | {} | {}"),
        (
            "+----+----+\n| epoch | step | D loss | G loss |\n+====+====+",
            "| {} | {} | {} | {} |\n+----+----+",
        ),
        ("┏━━━━┳━━━━┓\n┃ epoch ┃ step ┃ D loss ┃ G loss ┃\n┡━━━━╇━━━━┩", "│ {} │ {} │ {} │ {} │"),
        ("輪次  步數  判別器損失  生成器損失", "{}  {}  {}  {}"),
    ],
)
def test_tables_for_readers(tmp_path: Path, head: str, row: str) -> None:
    text = "\n".join([head, *(row.format(*figures) for figures in FIGURES)]) + "\n"
    assert_read(tmp_path / "a.txt", text)
    if not head.startswith("epoch\t"):
        assert_read(tmp_path / "a.txt", f"Using device: cuda\nModel built with 3 blocks\n\n{text}Done.\n", skipped=3)


def test_a_table_of_pandas_numbers_its_rows(tmp_path: Path) -> None:
    rows = [f"{n}  {' '.join(map(str, figures))}" for n, figures in enumerate(FIGURES)]
    assert_read(tmp_path / "a.txt", "\n".join(["    epoch step D_loss G_loss", *rows]))


def test_a_header_that_comes_again(tmp_path: Path) -> None:
    rows = [" ".join(map(str, figures)) for figures in FIGURES]
    text = "\n".join(line for at in range(0, 40, 10) for line in ["epoch step D_loss G_loss", *rows[at : at + 10]])
    assert_read(tmp_path / "a.txt", text, skipped=3)


@pytest.mark.parametrize("mark", ["\t", "  ", " | "])
def test_decimal_commas_in_a_table(tmp_path: Path, mark: str) -> None:
    rows = [mark.join(map(str, figures)).replace(".", ",") for figures in FIGURES]
    assert_read(tmp_path / "a.txt", "\n".join([mark.join(["epoch", "step", "D_loss", "G_loss"]), *rows]))


def test_lines_of_prose_are_no_table(tmp_path: Path) -> None:
    text = "the generator loss is below\nstep 5 D_loss: 0.5 ok\n" + "".join(f"step {n} D_loss: 0.5 ok\n" for n in ROWS)
    _, source = reading(tmp_path / "a.txt", text)
    assert source.kind == "log"
