"""The loops of docs/loops: as the pages show them, without the marked lines, and with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.stripped import Balanced, adam_steps, marked, run_balanced, run_stripped, stripped, weights

ROOT = Path(__file__).parents[2]
LOOPS = sorted((ROOT / "docs" / "loops").glob("*.py"))
PAGES = [ROOT / "docs" / name for name in ("loops.md", "loops-in-parts.md")]
FAST = {"dynamic_lambda": {"warmup_steps": 12, "bands": [[0.69, 0.3]], "above": 0.5}}


def optimizers(names: dict[str, Any]) -> tuple[list[torch.optim.Optimizer], torch.optim.Optimizer]:
    return names.get("opts_d") or [names["opt_d"]], names["opt_g"]


def own_losses(names: dict[str, Any]) -> list[float]:
    """The script's own loss of D for each row, as `d_adv` has it: the last of several updates, the mean of parts."""
    losses = torch.tensor(names["d_losses"], dtype=torch.float64)
    if "N_CRITIC" in names:  # D's hinge loss is the sum of the halves, whose mean is 1 at chance, where d_adv is ln 2
        return (losses.view(-1, names["N_CRITIC"])[:, -1] / 2 * torch.tensor(2.0).log()).tolist()
    return losses.view(-1, names.get("MICRO_BATCHES", 1)).mean(1).tolist()


@pytest.fixture(scope="module", params=LOOPS, ids=lambda path: path.stem)
def loop(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def watched(loop: Path, tmp_path_factory: pytest.TempPathFactory) -> Balanced:
    return run_balanced(loop, tmp_path_factory.mktemp("watched") / loop.stem, [])


@pytest.fixture(scope="module")
def acting(loop: Path, tmp_path_factory: pytest.TempPathFactory) -> Balanced:
    folder = tmp_path_factory.mktemp("acting") / loop.stem
    return run_balanced(loop, folder, ["dynamic_lambda", "d_lr_ratio", "d_skip"], FAST)


def test_the_pages_show_every_loop_as_it_is() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    shown = re.findall(r"\(loops/(\w+)\.py\).*?^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert sorted(name for name, _ in shown) == [path.stem for path in LOOPS]
    for name, block in shown:
        assert block == (ROOT / "docs" / "loops" / f"{name}.py").read_text(encoding="utf-8"), name


def test_a_loop_is_short_and_eight_lines_of_it_are_balancers(loop: Path) -> None:
    source = loop.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 60
    assert len(marked(source)) <= 8
    assert "balance" not in re.sub(r"#.*", "", stripped(source)).lower()


def test_a_loop_without_plugins_has_the_bits_of_the_script_that_it_was(watched: Balanced) -> None:
    before = run_stripped(ROOT / "docs" / "loops" / f"{watched.folder.name}.py")
    assert weights(watched.names) == weights(before)
    assert watched.names["d_losses"] == before["d_losses"]


def test_the_log_has_the_scripts_own_loss_in_a_row_for_each_step(watched: Balanced) -> None:
    columns = watched.columns
    assert columns["step"].tolist() == list(range(60))
    assert len(watched.rows) == 60
    assert columns["d_adv"].tolist() == pytest.approx(own_losses(watched.names), abs=1e-4)
    assert columns["d_acc"].min() >= 0


def test_updates_are_those_that_the_optimizers_took(watched: Balanced, acting: Balanced) -> None:
    for run in (watched, acting):
        opts_d, opt_g = optimizers(run.names)
        assert [run.balance.d_updates] * len(opts_d) == [adam_steps(opt) for opt in opts_d]
        assert run.balance.g_updates == adam_steps(opt_g)
        assert run.columns["d_updates"].sum() == run.balance.d_updates
        assert run.columns["g_updates"].sum() == run.balance.g_updates


def test_plugins_skip_d_turn_its_rate_and_weigh_gs_loss(acting: Balanced) -> None:
    columns, names = acting.columns, acting.names
    assert columns["step"].tolist() == list(range(60))
    overflowed = 60 - adam_steps(names["opt_g"])  # the steps that the scaler left out
    assert overflowed == (0 if acting.folder.name != "scaler" else pytest.approx(5, abs=4))
    assert columns["d_update"].tolist() == [1.0, 0.0] * 30
    left_out = columns["d_update"] * names.get("N_CRITIC", 1) - columns["d_updates"]
    assert left_out.min() == 0
    assert left_out[20:].max() == 0
    assert left_out.max() == (overflowed > 0)
    assert set(columns["lr_d"].tolist()) == {2.5e-4}
    assert acting.d_rates
    assert set(acting.d_rates) == {2.5e-4}
    assert {opt.param_groups[0]["lr"] for opt in optimizers(names)[0]} == {1e-3}
    assert set(columns["lambda_adv"].tolist()) <= {0.25, 0.3, 0.5}
    assert len(set(columns["lambda_adv"].tolist())) > 1


def test_a_weight_is_the_newest_decision_before_g_was_weighed(acting: Balanced) -> None:
    made = [one for one in acting.decisions if one.knob == "lambda_adv"]
    late = acting.folder.name == "g_first"  # D comes after G: what its loss says acts from the next step on
    for step, held in enumerate(acting.columns["lambda_adv"].tolist()):
        in_time = [one for one in made if one.step < step or (one.step == step and not late)]
        assert held == ([one.effective for one in in_time] or [0.25])[-1]
