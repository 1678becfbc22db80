"""The two parts of a step, D's and G's, as a host reports them: in any order and number, in one pass or in parts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from balancer.engine.gradients import TermGradients
from balancer.engine.measured import logit_signals, tensors_of
from balancer.engine.mechanism import Mechanism
from balancer.engine.sights import beside_fakes, d_looks, require_shown
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from balancer.contract.adversarial import Logits


class Parts(Mechanism):
    """What a host calls within a step; `Balancer` opens and closes it."""

    # Whether a step is under way, and whether it is known of the host that G comes first in it.
    _open = False
    _g_first = False
    # Gradients of micro-batches whose backward passes are to come.
    _foreseen: TermGradients | None = None
    # Whether recorded signals are played, and there are no tensors to see.
    replays = False

    # D's knobs as they hold in this step; what they are by themselves before they are read, or where the host has none.

    @property
    def d_update(self) -> bool:
        """Whether D is updated in this step."""
        self._audit.read("d_update")
        return self._d_due

    @property
    def real_label(self) -> float:
        """The target of D's binary loss for real images."""
        self._audit.read("real_label")
        return float(self.board.read("real_label", 1.0))

    @property
    def fake_label(self) -> float:
        """The target of D's binary loss for generated images."""
        self._audit.read("fake_label")
        return float(self.board.read("fake_label", 0.0))

    @property
    def d_frozen(self) -> tuple[str, ...]:
        """The heads of D that rest in this step."""
        self._audit.read("d_frozen")
        return self.board.read("d_frozen", ())

    def frozen_d_terms(self) -> set[str]:
        """Terms of D's loss that weigh nothing in this step, because their head is frozen."""
        frozen: tuple[str, ...] = self.board.read("d_frozen", ())
        return {term for head in frozen for term in self.composition.host.heads[head].d_terms}

    # How many rounds of the host's loop this step has taken, and how many the last one with an update had.
    _rounds = 0
    _usual_rounds = 1

    # D's part.

    def transform_d_input(self, images: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What D is to see instead of these images; call it in D's and in G's pass."""
        if not self._calls.due("transform_d_input"):
            return images, condition
        return self._calls.transform(self.context(), images, condition)

    def d_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to D's loss; `tensors` fill the step context's fields."""
        self._require_shown("d_loss_terms", tensors)
        if not self._calls.due("d_loss_terms"):
            return {}
        shown = beside_fakes(self.step, "d_loss_terms", tensors)
        ctx = self.context(**shown, **d_looks(self.loss, self.board, self.transform_d_input))
        return self._measure.terms("d_loss_terms", "d", ctx)

    def measure_d(
        self,
        *,
        real_logits: Logits | None = None,
        fake_logits: Logits | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """Take D's signals of this step: from its logits, and by name (`d_adv`, `d_loss`, …).

        Logits of several discriminators are lists of tensors. Tensors are packed into one transfer off the device;
        whoever reads a signal first waits for it.
        """
        measured = self._of_logits(real_logits, fake_logits)
        self._measure(self._measure.reported({**measured, **scalars}, "d"), "d")

    def before_d_backward(self) -> None:
        """Fire `before_d_backward`; optional, and never on a skipped D step."""
        self._moment("before_d_backward")

    def after_d_step(
        self,
        *,
        real_logits: Logits | None = None,
        fake_logits: Logits | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """D was updated or skipped: take its signals, unless `measure_d` did, and fire `after_d_step`.

        Several calls for one update are its micro-batches: signals are means over them, and the moment comes after
        the update, or where G's part begins before it.
        """
        self._require_step("after_d_step")
        self._measure_part("d", {**self._of_logits(real_logits, fake_logits), **scalars})
        self._reported["d"] = True
        self._audit.d_reported()
        if self._d_due:
            self._measure.require_supplied()
            if self._d.counted and not self._d.updated:
                self._d.open = self._d.open or self._d.untold
                return
            if not self._d.counted:
                self.clock.d_updates += 1
        elif self._d.fired and not self._d.updated:  # a further pass of a D that rests in this step
            return
        self._fire_d()

    # G's part.

    def g_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to G's loss; `tensors` fill the step context's fields."""
        self._require_shown("g_loss_terms", tensors)
        if not self._calls.due("g_loss_terms"):
            return {}
        ctx = self.context(**beside_fakes(self.step, "g_loss_terms", tensors))
        return self._measure.terms("g_loss_terms", "g", ctx)

    def measure_g(self, **terms: Tensor | float) -> None:
        """Take G's unweighted terms where `before_g_backward` came too early for them, before G's optimizer steps."""
        terms = self._measure.reported(terms, "g")
        self._measure(terms, "g")
        self._g_terms = tuple(dict.fromkeys((*self._g_terms, *(term for term in terms if term != "g_loss"))))

    def foresee_g(self, fake: Tensor, **terms: Tensor) -> None:
        """Take the gradients of G's terms in one of several micro-batches, before the backward pass of the first.

        `before_g_backward` then shows those of the whole batch. A host calls it where a plugin sees gradients.
        """
        if self._foreseen is None:
            self._foreseen = TermGradients(self._last_layer, self.step)
        self._foreseen.add(terms, fake)

    def measure_g_gradients(self, fake: Tensor, **terms: Tensor) -> None:
        """Take the signals `g_grad_…` of one of several micro-batches, before its backward pass, where they are due."""
        if self._gradients.due(self.step) and self._weights.told(terms):
            self._gradients.add_images(terms, fake, self._weights.held, self.step)

    def before_g_backward(self, fake: Tensor | None = None, **terms: Tensor | float) -> None:
        """Take G's unweighted terms (`adv`, `l1`, …) and fire `before_g_backward`; G's weights hold after it.

        `fake` are G's images, in the graph as the terms are: for laws on gradients, and for the signals `g_grad_…`.
        A host that does not call it gets it at its first look at a weight, before its terms are known. Several calls
        for one update are its micro-batches: terms are means over them, and the moment comes with the first.
        """
        self._require_step("before_g_backward")
        if self._g.open and self._g.updated:
            self.after_g_step()
        if self._g.open and not self._g.gathers:
            raise ConfigError(
                f"step {self.step}: before_g_backward comes before the first look at a weight, since plugins act in "
                "it: move the call up, and pass terms that are not weighted yet"
            )
        self._measure_part("g", terms)
        if not self._g.open:
            self._open_g(fake, terms)
        self._g.gathers = True
        if fake is not None:
            self.measure_g_gradients(fake, **terms)  # type: ignore[arg-type]

    def weight(self, term: str) -> float:
        """The weight of a term of G's loss: its knob `lambda_<term>`, or 0 while its head of D is frozen.

        A term that is not a knob weighs what the host's `base` says, or 1 (one that a plugin added).
        """
        self._audit.read(f"lambda_{term}")
        if self._open and not self._g.open and not self._g.fired:
            self._open_g()
        return self._weights.held(term)

    # lambda_adv, lambda_l1, …: the weights that the host obeys.
    def __getattr__(self, name: str) -> float:
        if name.startswith("lambda_") and name in self.board.specs:
            return self.weight(name.removeprefix("lambda_"))
        raise AttributeError(f"no attribute {name!r}; a weight lambda_… must be listed in obeys")

    def after_g_step(self) -> None:
        """G was updated; fires `after_g_step`. A host that does not call it gets it at the end of the step."""
        if self._g.counted and not self._g.updated:
            return
        if not self._g.counted:
            self.clock.g_updates += 1
        self._weigh()
        self._measure_gradients("g")
        self._g.close()
        self._moment("after_g_step")

    # What the parts of a step have in common.

    def _of_logits(self, real: Logits | None, fake: Logits | None) -> dict[str, Tensor]:
        signals = logit_signals(self.loss, real, fake, self.step)
        # A D that has never been updated says nothing yet.
        if real is not None and fake is not None and self._audit.due and (self._d_due or self.d_updates):
            self._audit.d_looked(real, fake)
        return signals

    def _require_step(self, call: str) -> None:
        if not self._open:
            raise ConfigError(
                f"step {self.step}: {call} came outside a step: call balance.start_step() at the top of each iteration"
            )

    def _require_shown(self, call: str, shown: Mapping[str, Any]) -> None:
        if not self.replays:
            require_shown(self.composition, self.step, call, shown)

    def _gathers(self) -> bool:
        """Whether gradients gather for the update that this step is to have: no optimizer has stepped in it."""
        d, g = self._d, self._g
        if not (d.counted and g.counted) or d.updates or g.updates:
            return False
        waiting = [turn for turn in (d, g) if turn.waits]
        # A scaler leaves out a step where gradients overflowed, at the end of a window of the usual length.
        lost = self._rounds >= self._usual_rounds and all(turn.overflowed for turn in waiting)
        return bool(waiting) and not lost

    def _measure_part(self, phase: Literal["d", "g"], scalars: Mapping[str, Tensor | float]) -> None:
        """Take what the host reports of one part: another micro-batch of an update to come, or of the next update."""
        turn = self._d if phase == "d" else self._g
        (self.signals.next_part if turn.in_parts else self.signals.next_update)(phase)
        turn.report(resting=phase == "d" and not self._d_due)
        if phase == "g":
            self.measure_g(**scalars)
        elif measured := self._measure.reported(scalars, "d"):
            self._measure(measured, "d")

    def _fire_d(self) -> None:
        if not self._d.fired:
            self._g_first = self._g.open or self._g.fired > 0
        self._measure_gradients("d")
        self._d.close()
        self._moment("after_d_step")

    def _open_g(self, fake: Tensor | None = None, terms: Mapping[str, Any] = MappingProxyType({})) -> None:
        # Laws that act after D's step act before G's backward pass, unless the host has G first.
        if self._d.open or (not self._d_due and not self._d.fired and not self._g_first):
            self._fire_d()
        self._g.open = self._reported["g"] = True
        if not self.composition.sees("gradients"):
            self._moment("before_g_backward")
            return
        gradients, self._foreseen = self._foreseen, None
        shown: dict[str, Any] = {}
        if gradients is None and fake is not None:
            gradients = TermGradients(self._last_layer, self.step)
            gradients.show(terms, fake)
        if gradients is not None:
            weights = {term: self._weights.held(term) for term in terms} if self._weights.told(terms) else None
            shown = {"terms": tensors_of(terms), "weights": weights, "fake": fake, "gradient_norm": gradients.norm}
        self._require_shown("before_g_backward", shown)
        try:
            self._moment("before_g_backward", **shown)
        finally:
            if gradients is not None:
                gradients.release()

    def _close_d(self) -> None:
        if not self._d.counted:
            if not self._d.fired:
                self.after_d_step()
        elif self._d.updated and not self._d.open:  # of which the host said nothing
            self._measure.require_supplied()
            self._fire_d()
        elif self._d.open or (not self._d_due and not self._d.fired):
            self._fire_d()

    def _close_g(self, reported: bool) -> None:
        takes_part = self._g.updated or reported or not self._g.counted
        if takes_part and not self._g.open and not self._g.fired:
            self._open_g()
        if self._g.updated or not (self._g.counted or self._g.fired):
            self.after_g_step()
        elif self._g.open or reported:
            self._weigh()
