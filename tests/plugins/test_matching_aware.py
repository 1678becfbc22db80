"""matching_aware: which pairs are mismatched, what D's loss gets of them, where it is refused, and that D learns."""

from typing import Any

import pytest
import torch
from balancer_plugins.matching_aware import mismatched
from hypothesis import given, settings
from hypothesis import strategies as st
from support.shapes_runs import shapes_trainer
from support.toy_steps import advance
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import Balancer, Plugin, StepContext, hookimpl
from balancer.contract.losses import BUILT_IN
from balancer.errors import CompositionError, ConfigError
from balancer.testing import check_plugin, toy_trainer

# Which pairs.


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.sampled_from([(), (1,), (2, 3)]))
@settings(max_examples=60)
def test_a_mismatch_is_always_another_condition_of_the_batch(kinds: list[int], shape: tuple[int, ...]) -> None:
    condition = torch.tensor(kinds).reshape(-1, *[1] * len(shape)).expand(-1, *shape)
    others, rows = mismatched(condition)
    pairs = zip(kinds, [kinds[-1], *kinds[:-1]], strict=True)
    assert rows.tolist() == [row for row, (own, other) in enumerate(pairs) if own != other]
    assert others.flatten(1).shape == condition.flatten(1).shape if shape else others.shape == condition.shape
    assert all(not torch.equal(others[row], condition[row]) for row in rows)


# What the term is: of a script, whose D is a matrix, so that all of it can be written by hand.

REAL, FAKE = torch.tensor([[1.0], [2.0], [-1.0], [0.5]]), torch.tensor([[0.3], [-0.7], [1.5], [0.1]])
CONDITION = torch.tensor([[0.0], [1.0], [1.0], [-1.0]])  # the third item's neighbour has its own condition
OTHER, KEPT = torch.tensor([[-1.0], [0.0], [1.0], [1.0]]), [0, 1, 3]


class Script:
    """D's part of one step of a script, with D(x, c) = w · (x, c), or two of such Ds."""

    def __init__(self, plugins: Any, loss: str, count: int = 1, config: Any = None, **options: Any) -> None:
        self.weights = [nn.Parameter(torch.tensor([[0.8 + d], [0.5]])) for d in range(count)]
        self.balance = Balancer(
            plugins, supplies={"condition"}, adversarial=loss, settings={"matching_aware": config or {}}, **options
        )

    def discriminate(self, images: Tensor, condition: Tensor | None) -> Any:
        assert condition is not None
        found = [torch.cat([images, condition], 1) @ weight for weight in self.weights]
        return found[0] if len(found) == 1 else found

    def terms(self, real: Tensor = REAL, condition: Tensor | None = CONDITION, fake: Tensor = FAKE) -> Any:
        self.balance.start_step()
        of_real = real, CONDITION if condition is None else condition
        of_fake = self.balance.transform_d_input(fake, torch.cat([of_real[1]] * (len(fake) // len(real))))
        return self.balance.d_loss_terms(
            real=real,
            fake=fake,
            condition=condition,
            fake_condition=None if condition is None else of_fake[1],
            real_logits=self.discriminate(*self.balance.transform_d_input(*of_real)),
            fake_logits=self.discriminate(*of_fake),
            discriminate=self.discriminate,
        )


def by_hand(loss: str, images: Tensor, condition: Tensor, weight: Tensor) -> Tensor:
    """The fake half on these images, from the losses' papers, of one D."""
    r, f = torch.cat([REAL, CONDITION], 1)[KEPT] @ weight, torch.cat([images, condition], 1)[KEPT] @ weight
    return {
        "bce": lambda: F.softplus(f).mean(),
        "lsgan": lambda: f.square().mean(),
        "hinge": lambda: F.relu(1 + f).mean(),
        "wasserstein": lambda: f.mean(),
        "relativistic": lambda: F.softplus(f - r).mean(),
        "relativistic_average": lambda: F.softplus(f - r.mean()).mean(),
        "relativistic_hinge": lambda: F.relu(1 + f - r.mean()).mean(),
    }[loss]()


@pytest.mark.parametrize("loss", BUILT_IN)
@pytest.mark.parametrize("count", [1, 2])
def test_it_is_the_fake_half_of_the_runs_own_loss_by_the_share_of_the_items(loss: str, count: int) -> None:
    script = Script(["matching_aware"], loss, count, {"weight": 0.25}, obeys={"d_loss_terms"})
    (term,) = script.terms().values()
    apart = torch.stack([by_hand(loss, REAL, OTHER, weight) for weight in script.weights]).mean()
    torch.testing.assert_close(term, 0.25 * 3 / 4 * apart)
    assert all(slope is not None for slope in torch.autograd.grad(term, script.weights))


def test_the_control_judges_generated_images_of_the_same_items_once_more() -> None:
    script = Script(["matching_aware"], "hinge", config={"mode": "control"}, obeys={"d_loss_terms"})
    # Two are drawn for each real one; those that come first have the batch's own order.
    terms = script.terms(fake=torch.cat([FAKE, FAKE + 5]))
    assert terms.keys() == {"control"}
    torch.testing.assert_close(terms["control"], 0.5 * 3 / 4 * by_hand("hinge", FAKE, CONDITION, script.weights[0]))


def test_mismatched_pairs_have_the_label_of_generated_images() -> None:
    script = Script(["matching_aware", "label_smoothing"], "bce", obeys={"d_loss_terms", "real_label", "fake_label"})
    (term,) = script.terms().values()
    logits = torch.cat([REAL, OTHER], 1)[KEPT] @ script.weights[0]
    torch.testing.assert_close(term, 0.5 * 3 / 4 * (F.softplus(logits) - 0.1 * logits).mean())


@pytest.mark.parametrize("condition", [CONDITION[:1], torch.ones(4, 1)], ids=["one item", "one condition"])
def test_where_nothing_is_mismatched_the_term_is_0(condition: Tensor) -> None:
    script = Script(["matching_aware"], "bce", obeys={"d_loss_terms"})
    count = len(condition)
    assert script.terms(REAL[:count], condition, FAKE[:count]) == {"mismatch": 0.0}


def test_a_part_of_the_batch_without_a_mismatch_halves_the_term() -> None:
    trainers = [shapes_trainer(["matching_aware"], micro_batches=parts, lr=1e-30) for parts in (1, 2)]
    batch = trainers[0].next_batch()
    # In the second half every item has the same condition.
    batch = {**batch, "blurred": torch.cat([batch["blurred"][:8], batch["blurred"][8:9].expand(8, -1, -1, -1)])}
    for trainer in trainers:
        trainer.step(batch)
    whole, cut = (trainer.balance.last_row["loss/d_mismatch"] for trainer in trainers)
    assert 0 < cut < whole, "8 of 16 pairs, and 9, of which one is across the cut"
    assert cut / whole == pytest.approx(8 / 9, rel=0.02)


class Mirror(Plugin):
    """Turns the signs of all that D sees, and counts how often."""

    name = "mirror"

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen = 0

    @hookimpl
    def transform_d_input(self, ctx: StepContext, images: Any, condition: Any) -> Any:
        self.seen += 1
        return -images, -condition


def test_it_goes_through_what_others_make_of_ds_input() -> None:
    script = Script(["matching_aware", Mirror], "bce", obeys={"d_loss_terms", "transform_d_input"})
    (term,) = script.terms().values()
    torch.testing.assert_close(term, 0.5 * 3 / 4 * by_hand("bce", -REAL, -OTHER, script.weights[0]))
    (mirror,) = [plugin for plugin in script.balance.composition.plugins if isinstance(plugin, Mirror)]
    assert mirror.seen == 3, "real, generated, mismatched"


# Where it works.


def test_a_model_whose_d_sees_no_condition_is_refused_in_one_sentence() -> None:
    with pytest.raises(CompositionError) as refused:
        toy_trainer(["matching_aware"])
    assert str(refused.value) == (
        "plugin matching_aware of balancer 0.1.0 sees condition, which model points does not show: its D sees images "
        "alone: leave the plugin out, or say conditional=True in the ModelSpec of a D that sees more"
    )


def test_a_script_says_that_it_passes_a_condition_and_is_held_to_it() -> None:
    with pytest.raises(CompositionError, match=r"which this script does not show: .* pass condition= to balance"):
        Balancer(["matching_aware"], obeys={"d_loss_terms"})
    with pytest.raises(ConfigError, match=r"step 0: plugin matching_aware sees condition, .* not pass to d_loss"):
        Script(["matching_aware"], "bce", obeys={"d_loss_terms"}).terms(condition=None)


@pytest.mark.parametrize("law", [{"signal": "d_adv"}, {"signal": "d_loss"}])
def test_a_law_on_how_d_does_is_warned_of_it(law: dict[str, Any]) -> None:
    trainer = shapes_trainer(["matching_aware", "dynamic_lambda"], {"dynamic_lambda": law})
    said = [text for text in trainer.balance.composition.warnings if text.startswith("matching_aware: ")]
    assert len(said) == 1 and ("d_mismatch" in said[0]) == (law["signal"] == "d_loss")


# What comes of it.


@pytest.mark.parametrize("mode", ["mismatch", "control"])
def test_d_learns_whether_an_image_goes_with_its_condition_though_g_draws_like_the_data(mode: str) -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.3)
    balance = Balancer(
        ["matching_aware"],
        settings={"matching_aware": {"mode": mode}},
        optimizers={"d": optimizer},
        supplies={"condition"},
        obeys={"d_loss_terms"},
        audit="off",
    )

    def discriminate(images: Tensor, condition: Any) -> Tensor:
        return weight[0] + weight[1] * (images * condition).sum(1)

    for _ in range(40):
        balance.start_step()
        condition = torch.randn(32, 1).sign()
        logits = discriminate(condition, condition)
        both: dict[str, Any] = {"real": condition, "fake": condition, "real_logits": logits, "fake_logits": logits}
        terms = balance.d_loss_terms(**both, condition=condition, discriminate=discriminate)
        loss = 0.5 * (F.softplus(-logits) + F.softplus(logits)).mean() + sum(terms.values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        balance.after_d_step()
    bias, matching = weight.tolist()
    assert (matching > 0.5) == (mode == "mismatch")
    assert mode == "mismatch" or abs(bias + matching) < 1, "the control only doubts all images alike"


def test_the_signals_of_d_are_those_of_its_own_halves() -> None:
    with_it, without = (shapes_trainer(plugins) for plugins in (["matching_aware"], []))
    rows = [advance(trainer, 1).balance.last_row for trainer in (with_it, without)]
    for name in ("signal/d_adv", "signal/d_acc", "loss/d_loss_real", "loss/d_loss_fake"):
        assert rows[0][name] == rows[1][name]
    assert rows[0]["loss/d_loss"] == pytest.approx(rows[1]["loss/d_loss"] + rows[0]["loss/d_mismatch"])


@pytest.mark.parametrize("mode", ["mismatch", "control"])
def test_it_keeps_every_promise_of_a_plugin(mode: str) -> None:
    report = check_plugin("matching_aware", {"mode": mode})
    remarks = [str(check) for check in report.checks if check.outcome == "remark"]
    assert len(remarks) == 1 and "model points does not show" in remarks[0]
