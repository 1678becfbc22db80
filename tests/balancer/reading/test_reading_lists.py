"""Lists of figures without names, as VITS and the codes made from it print them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import DataError

HEADS = {
    "vits-log": "{'train': {'log_interval': 200}, 'data': {'text_cleaners': ['english_cleaners2'], 'n_speakers': 0}}",
    "gpt-sovits-log": "{'train': {'epochs': 8, 'text_low_lr_rate': 0.4}, 'name': 'me', 'version': 'v2'}",
    "vits-kin-log": "{'train': {'log_interval': 200}, 'data': {'n_speakers': 0}}",
}
TERMS = {"vits-log": ("dur", "kl"), "gpt-sovits-log": ("kl_ssl", "kl"), "vits-kin-log": ("term_5", "term_6")}
FRONTS = ["INFO:me:", "2023-08-02 10:00:00,120\tme\tINFO\t", ""]


def written(front: str, head: str, listed: str = "[{d}, 2.5, 4.8, 19.25, 0.25, 1.5, {n}, 9.99875e-05]") -> str:
    rows = "".join(
        f"{front}Train Epoch: {1 + n // 8} [25%]\n{front}{listed.format(d=2 + n / 8, n=100 * n)}\n" for n in range(40)
    )
    return f"{front}{head}\n" * bool(head) + rows


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("code", HEADS)
def test_the_config_at_the_beginning_says_which_code_it_is(tmp_path: Path, code: str, front: str) -> None:
    history, source = reading(tmp_path / "train.log", written(front, HEADS[code]))
    assert source.code is not None and source.code.name == code
    assert history["d_loss"].values.tolist() == [2 + n / 8 for n in range(40)]
    assert history["d_loss"].steps.tolist() == [100.0 * n for n in range(40)]
    fifth, sixth = TERMS[code]
    expected = {"adv": 2.5, "fm": 4.8, "mel": 19.25, fifth: 0.25, sixth: 1.5, "lr": 9.99875e-05}
    assert {name: history[name].values.tolist() for name in history if name != "d_loss"} == {
        name: [value] * 40 for name, value in expected.items()
    }


def test_gpt_sovits_is_known_by_its_files_and_its_frozen_quantizer_too(tmp_path: Path) -> None:
    for head, fifth in (("Saving model to logs/me/logs_s2_v2/G_233333333333.pth", "0.25"), ("", "0.0")):
        listed = f"[{{d}}, 2.5, 4.8, 19.25, {fifth}, 1.5, {{n}}, 9.99875e-05]"
        history, source = reading(tmp_path / "train.log", written("INFO:me:", head, listed))
        assert source.code is not None and source.code.name == "gpt-sovits-log"
        assert set(history["kl_ssl"].values.tolist()) == {float(fifth)} and "dur" not in history


def test_what_the_user_says_needs_no_config(tmp_path: Path) -> None:
    for code, (fifth, sixth) in TERMS.items():
        history, source = reading(tmp_path / "train.log", written("INFO:me:", ""), family=code)
        assert source.code is not None and source.code.name == code
        assert {fifth, sixth} <= history.series.keys()


@pytest.mark.parametrize("head", ["", HEADS["vits-log"]])
@pytest.mark.parametrize(
    "listed",
    [
        "[{d}, 2.5, 4.8, 19.25, 1.5, {n}, 9.99e-05]",
        "[{d}, 2.5, 4.8, 19.25, 0.25, 1.5, 0.75, {n}, 9.99e-05]",
        "[{d}, 2.5, 4.8, 19.25, 0.25, 1.5, {n}]",
        "[{n}, 9.99e-05, {d}, 2.5, 4.8, 19.25, 0.25, 1.5]",
        "[{n}, 9.99e-05, {d}, 2.5, 4.8, 19.25, 3, 1.5]",
        "[{d}, 2.5, 4.8, 19.25, 0.25, 1.5, 9.99e-05, {n}]",
        "[{d}, 2.5, 4.8, 19.25, 0.25, 1.5, {n}, 9.5]",
        "[1, 2, 4, 19, 25, 1, {n}, 0.5]",
        "shapes[{d}, 2.5, 4.8, 19.25, 0.25, 1.5, {n}, 9.99e-05]",
        "[{d}, 2.5, 4.8, 19.25, 0.25, 1.5, {n}, 9.99e-05] and more",
    ],
)
def test_a_list_of_another_number_or_order_is_not_read(tmp_path: Path, head: str, listed: str) -> None:
    with pytest.raises(DataError):
        reading(tmp_path / "train.log", written("INFO:me:", head, listed))
