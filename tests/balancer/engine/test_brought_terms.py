"""Terms and knobs that plugins bring: checked before the run, read by others, measured and logged."""

from typing import Any

import pytest
import torch
from support.toy_steps import advance

from balancer import Balancer, KnobSpec, Plugin, SignalSpec, StepContext, hookimpl
from balancer.errors import CompositionError, Deprecated, PluginError
from balancer.testing import replay, toy_trainer


class Pull(Plugin):
    """A term of D's loss in every second update."""

    name = "zz_pull"
    brings_terms = ("pull",)

    @hookimpl
    def d_loss_terms(self, ctx: StepContext) -> dict[str, Any] | None:
        assert isinstance(ctx.real_logits, torch.Tensor)
        return {"pull": ctx.real_logits.square().mean()} if ctx.step % 2 == 0 else None


class Reader(Plugin):
    """Reads another plugin's term."""

    name = "aa_reader"
    reads = ("d_pull",)

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.seen: list[tuple[float, int, bool]] = []

    @hookimpl
    def after_d_step(self, ctx: StepContext) -> None:
        reading = self.signals["d_pull"]
        assert reading is not None
        self.seen.append((reading.value, reading.step, reading.fresh))


def reader(balance: Balancer) -> Reader:
    (found,) = [plugin for plugin in balance.composition.plugins if isinstance(plugin, Reader)]
    return found


def test_a_term_is_a_signal_to_others_lazy_or_not() -> None:
    trainer = advance(toy_trainer([Reader, Pull]), 3)
    assert [plugin.name for plugin in trainer.balance.composition.plugins] == ["zz_pull", "aa_reader"]
    seen = reader(trainer.balance).seen
    assert [(step, fresh) for _, step, fresh in seen] == [(0, True), (0, False), (2, True)]
    assert seen[2][0] == trainer.balance.last_row["loss/d_pull"] > 0


@pytest.mark.parametrize("parts", [1, 2])
def test_a_script_need_not_report_it(parts: int) -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    balance = Balancer([Reader, Pull], obeys={"d_loss_terms"}, supplies={"d_adv"}, optimizers={"d": optimizer})
    balance.start_step()
    for part in range(parts):
        logits = weight * torch.tensor([1.0 + 2 * part, 3.0])
        terms = balance.d_loss_terms(real_logits=logits, fake_logits=-logits)
        sum(terms.values()).backward()  # type: ignore[union-attr]
        if part == parts - 1:
            optimizer.step()
        balance.after_d_step(d_adv=0.5)
    balance.end_step()
    means = [5.0, (5.0 + 9.0) / 2]
    assert reader(balance).seen[0][0] == balance.last_row["loss/d_pull"] == pytest.approx(means[parts - 1])


def test_it_is_replayed_from_the_rows() -> None:
    rows = [{"d_pull": 0.5, "d_adv": 0.3}, {"d_adv": 0.3}]
    seen: list[Any] = []

    class Notes(Reader):
        name = "notes"

        @hookimpl
        def after_d_step(self, ctx: StepContext) -> None:
            seen.append(self.signals["d_pull"])

    replay([Pull, Notes], rows, names={"d_pull", "d_adv"})
    assert [(reading.value, reading.step, reading.fresh) for reading in seen] == [(0.5, 0, True), (0.5, 0, False)]


def test_what_is_not_declared_is_a_warning_that_says_what_to_add() -> None:
    undeclared = type("Pull", (Pull,), {"brings_terms": ()})
    trainer = toy_trainer([undeclared])
    text = r"d_loss_terms of plugin zz_pull: the term pull is not declared: add it to brings_terms, or from 0.3 on"
    with pytest.warns(Deprecated, match=text) as said:
        advance(trainer, 3)
    assert len(said) == 1
    assert "loss/d_pull" in trainer.balance.last_row


def adds(name: str, brings: Any, *hooks: str) -> type[Plugin]:
    marked = {hook: hookimpl(lambda self, ctx: None) for hook in hooks}
    return type("Adds", (Plugin,), {"name": name, "brings_terms": brings, **marked})


@pytest.mark.parametrize(
    ("plugins", "line"),
    [
        ([adds("one", ("x",), "d_loss_terms"), adds("two", ("x",), "d_loss_terms")], "so does plugin one"),
        ([adds("one", ("adv",), "g_loss_terms")], "there is a adv already: rename the new one"),
        ([adds("one", ("category",), "g_loss_terms")], "there is a category already"),
        ([adds("one", ("loss_x",), "g_loss_terms")], "columns of G's terms begin like that: rename it"),
        ([adds("one", ("x_share",), "g_loss_terms")], "shares of G's loss end like that: rename it"),
    ],
)
def test_names_are_checked_before_the_run(plugins: list[type[Plugin]], line: str) -> None:
    with pytest.raises(CompositionError, match=line):
        toy_trainer(plugins)


@pytest.mark.parametrize(
    ("plugin", "line"),
    [
        (adds("one", ("x",)), "brings terms, but has no hook d_loss_terms that would return them"),
        (adds("one", ("x",), "d_loss_terms", "g_loss_terms"), "adds to both losses: say which terms go into which"),
        (adds("one", {"f": ("x",)}, "d_loss_terms"), "brings_terms has the key 'f'"),
        (adds("one", "x", "d_loss_terms"), "brings_terms is a tuple of names"),
    ],
)
def test_a_declaration_that_cannot_be_is_said(plugin: type[Plugin], line: str) -> None:
    with pytest.raises(PluginError, match=line):
        toy_trainer([plugin])


class Names(Plugin):
    """A knob of names of its own."""

    name = "names"
    brings_knobs = (
        KnobSpec(
            "augments", "kinds of augmentation", ("add",), "on_step_start", base=(), choices=("flip", "hue", "cut")
        ),
        KnobSpec("free", "any names", ("add",), "on_step_start", base=()),
    )
    writes = {"augments": ("add",), "free": ("add",)}

    @hookimpl
    def on_step_start(self, ctx: StepContext) -> None:
        self.knobs["augments"].add("flip", "cut")
        self.knobs["free"].add("anything")


def test_a_knob_of_names_is_logged_as_which_and_how_many() -> None:
    balance = Balancer([Names])
    balance.start_step()
    balance.end_step()
    row = {tag: value for tag, value in balance.last_row.items() if tag.startswith("knob/")}
    assert row == {
        "knob/augments": 2.0,
        "knob/augments/flip": 1.0,
        "knob/augments/hue": 0.0,
        "knob/augments/cut": 1.0,
        "knob/free": 1.0,
    }


@pytest.mark.parametrize("value", ["1.0", b"1", None, [1.0]])
def test_what_is_published_is_a_number(value: Any) -> None:
    class Tells(Plugin):
        name = "zz_tells"
        brings_signals = (SignalSpec("mood", "plugin", "a mood"),)

        @hookimpl
        def after_d_step(self, ctx: StepContext) -> None:
            self.publish("mood", value)

    with pytest.raises(PluginError, match=r"zz_tells published mood as .*: expected a number"):
        advance(toy_trainer([Tells]), 1)
