"""Two figures behind one name, names that other codes use, and sums that the user names."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_logs import reading

from balancer.errors import ConfigError
from balancer.reading.opening import open_source

ROWS = range(1, 61)


def losses(n: int) -> tuple[float, float]:
    """D's loss and G's, of a row."""
    return round(0.7 - n / 200, 3), round(1 + n / 50, 3)


@pytest.mark.parametrize(
    "pair",
    [
        "lr: 0.0001/0.0004",
        "mem: 5/24",
        "time: 0.12/0.03",
        "D(G(z)): 0.45 / 0.03",
        "data=1/2",
        "GPU mem 5/24",
        "eta: 3/400 s",
        "grad: 1e-3/0.5/0.25",
    ],
)
@pytest.mark.parametrize("epochs", [4, 60])
def test_a_pair_of_figures_is_no_counter(tmp_path: Path, pair: str, epochs: int) -> None:
    """The rows keep the step that they name, and all of them are kept."""
    per = 60 // epochs
    text = "".join(
        f"epoch: {(n - 1) // per + 1} iter: {20 * ((n - 1) % per + 1)} {pair} loss_D: {d} loss_G: {g}\n"
        for n in ROWS
        for d, g in [losses(n)]
    )
    history, source = reading(tmp_path / "a.log", text)
    assert (source.rows, source.kept, source.dropped, source.restarts) == (60, 60, {}, [])
    assert history["d_loss"].steps.tolist() == [20.0 * n for n in ROWS]
    assert history["d_loss"].values.tolist() == [losses(n)[0] for n in ROWS]
    assert history["g_loss"].values.tolist() == [losses(n)[1] for n in ROWS]


def test_a_pair_is_no_counter_where_nothing_else_is_one(tmp_path: Path) -> None:
    text = "".join(f"mem: 5/24 | loss_D: {losses(n)[0]} | time: 0.12/0.03\n" for n in ROWS)
    history, source = reading(tmp_path / "a.log", text)
    assert source.numbered and history["d_loss"].steps.tolist() == [float(n - 1) for n in ROWS]


@pytest.mark.parametrize(
    "form",
    [
        "Gen/Dis Loss: {g}/{d}",
        "G/D loss = {g} / {d}",
        "loss D/G: {d}/{g}",
        "Loss (G/D): {g}/{d}",
        "D loss / G loss: {d} / {g}",
        "loss_D/loss_G: {d}/{g}",
        "Loss_D/G: {d}, {g} | time: 3",
        "{{'d_loss': {d}/0.5, 'g_loss': {g}/1.0}}",
    ],
)
def test_a_name_of_two_figures(tmp_path: Path, form: str) -> None:
    text = "".join(f"[{n}/100] " + form.format(d=losses(n)[0], g=losses(n)[1]) + "\n" for n in ROWS)
    history, source = reading(tmp_path / "a.log", text)
    assert source.tags.keys() == {"d_loss", "g_loss"}
    assert history["d_loss"].values.tolist() == [losses(n)[0] for n in ROWS]
    assert history["g_loss"].values.tolist() == [losses(n)[1] for n in ROWS]
    assert history["g_loss"].steps.tolist() == list(map(float, ROWS))


def test_a_name_of_three_figures(tmp_path: Path) -> None:
    for form in (
        "Losses (D/G/Cycle): 0.5/1.5/0.25",
        "D/G/cycle loss: 0.5 / 1.5 / 0.25",
        "loss D/G/cycle = 0.5, 1.5, 0.25",
    ):
        history, source = reading(tmp_path / "a.log", "".join(f"step {n} {form}\n" for n in ROWS))
        assert source.tags.keys() == {"d_loss", "g_loss", "cycle"}
        assert {name: set(history[name].values.tolist()) for name in source.tags} == {
            "d_loss": {0.5},
            "g_loss": {1.5},
            "cycle": {0.25},
        }


def test_both_halves_of_d(tmp_path: Path) -> None:
    history, _ = reading(tmp_path / "a.log", "".join(f"step {n} D real/fake loss: 0.5/0.25\n" for n in ROWS))
    assert history["d_loss_real"].values.tolist() == [0.5] * 60
    assert history["d_loss_fake"].values.tolist() == [0.25] * 60


@pytest.mark.parametrize("name", ["train/loss_D", "G/adv", "D"])
def test_a_path_is_one_name_and_its_second_figure_a_mean(tmp_path: Path, name: str) -> None:
    history, source = reading(tmp_path / "a.log", "".join(f"step {n}: {name}: 0.5/0.7\n" for n in ROWS))
    assert list(source.tags.values()) == [name]
    assert history[next(iter(source.tags))].values.tolist() == [0.5] * 60


def test_the_attacks_loss_of_advgan_is_not_the_adversarial_one(tmp_path: Path) -> None:
    text = "".join(
        f"epoch {n}:\nloss_D: 0.4, loss_G_fake: 0.75,     \nloss_perturb: 7.5, loss_adv: 12.5, \n\n" for n in ROWS
    )
    history, source = reading(tmp_path / "a.log", text)
    assert source.tags == {"d_loss": "loss_D", "adv": "loss_G_fake", "perturb": "loss_perturb", "attack": "loss_adv"}
    assert set(history["adv"].values.tolist()) == {0.75} and set(history["attack"].values.tolist()) == {12.5}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.log", "step: {n} D_real: 0.25 D_fake: 0.5 G_GAN: 2\n"),
        ("a.csv", "{n},0.25,0.5,2\n"),
        ("a.jsonl", '{{"step": {n}, "D_real": 0.25, "D_fake": 0.5, "G_GAN": 2}}\n'),
    ],
)
def test_a_sum_that_the_user_names(tmp_path: Path, name: str, text: str) -> None:
    head = "step,D_real,D_fake,G_GAN\n" if name.endswith("csv") else ""
    written = head + "".join(text.format(n=n) for n in ROWS)
    history, source = reading(tmp_path / name, written, tags={"d_loss": "D_real+D_fake"})
    assert source.tags == {"d_loss": "D_real + D_fake", "adv": "G_GAN"}
    assert history["d_loss"].values.tolist() == [0.75] * 60 and "d_loss_real" not in history
    with pytest.raises(ConfigError, match=r"--tag d_loss=D_fak: there is no such name"):
        reading(tmp_path / name, written, tags={"d_loss": "D_real + D_fak"})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.log", "tick={n} d_loss: 0.5\n"),
        ("a.csv", "{n},0.5\n"),
        ("a.jsonl", '{{"tick": {n}, "d_loss": 0.5}}\n'),
    ],
)
def test_a_step_that_the_user_names(tmp_path: Path, name: str, text: str) -> None:
    head = "tick,d_loss\n" if name.endswith("csv") else ""
    written = head + "".join(text.format(n=50 * n) for n in ROWS)
    history, source = reading(tmp_path / name, written, tags={"step": "tick"})
    assert history["d_loss"].steps.tolist() == [50.0 * n for n in ROWS]
    assert source.tags["step"] == "tick" and not source.numbered and "step" not in history
    assert reading(tmp_path / name, written)[1].numbered
    with pytest.raises(ConfigError, match="--tag step=tack: there is no such name"):
        reading(tmp_path / name, written, tags={"step": "tack"})


@pytest.mark.parametrize("name", ["global_step", "trainer/global_step", "trainer.global_step", "_step", "step"])
def test_names_of_steps(tmp_path: Path, name: str) -> None:
    """Steps that are no numbers of rows, with the epoch beside them."""
    rows = [(50 * n, n // 20) for n in ROWS]
    table = f"epoch,{name},d_loss\n" + "".join(f"{epoch},{step},0.5\n" for step, epoch in rows)
    lines = "".join(f'{{"epoch": {epoch}, "{name}": {step}, "d_loss": 0.5}}\n' for step, epoch in rows)
    text = "".join(f"epoch: {epoch}, {name}: {step}, d_loss: 0.5\n" for step, epoch in rows)
    # Nobody prints W&B's own name beside figures.
    files = {"a.csv": table, "a.jsonl": lines} | ({"a.log": text} if name[0] != "_" else {})
    for file, content in files.items():
        history, source = reading(tmp_path / file, content)
        assert history["d_loss"].steps.tolist() == [float(step) for step, _ in rows], file
        assert not source.numbered and source.steps_per_epoch == 1000, file


def test_event_files_have_steps_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.a").write_bytes(b"")
    with pytest.raises(ConfigError, match="--tag step=x: its values have steps of their own"):
        open_source(str(tmp_path), tags={"step": "x"})
