"""The two parts of a step, D's and G's, as a host reports them: in any order and number, in one pass or in parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from balancer.engine.mechanism import Mechanism
from balancer.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


class Parts(Mechanism):
    """What a host calls within a step; `Balancer` opens and closes it."""

    # Whether a step is under way, and whether it is known of the host that G comes first in it.
    _open = False
    _g_first = False

    # D's part.

    def transform_d_input(self, images: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """What D is to see instead of these images; call it in D's and in G's pass."""
        return self._calls.transform(self.context(), images, condition)

    def d_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to D's loss; `tensors` fill the step context's fields."""
        return self._measure.terms("d_loss_terms", "d", self.context(**tensors))

    def measure_d(
        self,
        *,
        real_logits: Tensor | None = None,
        fake_logits: Tensor | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """Take D's signals of this step: from its logits, and by name (`d_adv`, `d_loss`, …).

        Tensors are packed into one transfer off the device; whoever reads a signal first waits for it.
        """
        if real_logits is not None and fake_logits is not None:
            scalars = {**self._of_logits(real_logits, fake_logits), **scalars}
        self._measure(scalars, "d")

    def before_d_backward(self) -> None:
        """Fire `before_d_backward`; optional, and never on a skipped D step."""
        self._moment("before_d_backward")

    def after_d_step(
        self,
        *,
        real_logits: Tensor | None = None,
        fake_logits: Tensor | None = None,
        **scalars: Tensor | float,
    ) -> None:
        """D was updated or skipped: take its signals, unless `measure_d` did, and fire `after_d_step`.

        Several calls for one update are its micro-batches: signals are means over them, and the moment comes after
        the update, or where G's part begins before it.
        """
        self._require_step("after_d_step")
        if real_logits is not None and fake_logits is not None:
            scalars = {**self._of_logits(real_logits, fake_logits), **scalars}
        self._measure_part("d", scalars)
        self._reported["d"] = True
        self._audit.d_reported()
        if self._d_due:
            self._measure.require_supplied()
            if self._d.counted:
                self._d.open = True
                if not self._d.updated:
                    return
            else:
                self.clock.d_updates += 1
        elif self._d.fired and not self._d.updated:  # a further pass of a D that rests in this step
            return
        self._fire_d()

    # G's part.

    def g_loss_terms(self, **tensors: Any) -> dict[str, Tensor]:
        """Further terms that plugins add to G's loss; `tensors` fill the step context's fields."""
        return self._measure.terms("g_loss_terms", "g", self.context(**tensors))

    def measure_g(self, **terms: Tensor | float) -> None:
        """Take G's unweighted terms where `before_g_backward` came too early for them, before G's optimizer steps."""
        self._measure(terms, "g")
        self._g_terms = tuple(dict.fromkeys((*self._g_terms, *(term for term in terms if term != "g_loss"))))

    def before_g_backward(self, **terms: Tensor | float) -> None:
        """Take G's unweighted terms (`adv`, `l1`, …) and fire `before_g_backward`; G's weights hold after it.

        A host that does not call it gets it at its first look at a weight, before its terms are known. Several calls
        for one update are its micro-batches: terms are means over them, and the moment comes with the first.
        """
        self._require_step("before_g_backward")
        if self._g.open and self._g.updated:
            self.after_g_step()
        if self._g.open and not self._g.gathers:
            raise ConfigError(
                f"step {self.step}: before_g_backward comes before the first look at a weight: plugins act in it"
            )
        self._measure_part("g", terms)
        if not self._g.open:
            self._open_g()
        self._g.gathers = True

    def weight(self, term: str) -> float:
        """The weight of a term of G's loss: its knob `lambda_<term>`, or 0 while its head of D is frozen.

        A term that is not a knob weighs what the host's `base` says, or 1 (one that a plugin added).
        """
        self._audit.read(f"lambda_{term}")
        if self._open and not self._g.open and not self._g.fired:
            self._open_g()
        return self._weighing.weight(term)

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
        self._weighing.weigh(self._g_terms)
        self._g.close()
        self._moment("after_g_step")

    # What the parts of a step have in common.

    def _of_logits(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        # A D that has never been updated says nothing yet.
        if self._audit.due and (self._d_due or self.d_updates):
            self._audit.logits.look(real, fake)
        return self.loss.signals(real, fake)

    def _require_step(self, call: str) -> None:
        if not self._open:
            raise ConfigError(
                f"step {self.step}: {call} came outside a step: call balance.start_step() at the top of each iteration"
            )

    def _gathers(self) -> bool:
        """Whether gradients gather for the update that this step is to have: no optimizer has stepped in it."""
        d, g = self._d, self._g
        return d.counted and g.counted and not d.updates and not g.updates and (d.waits or g.waits)

    def _measure_part(self, phase: Literal["d", "g"], scalars: Mapping[str, Tensor | float]) -> None:
        """Take what the host reports of one part: another micro-batch of an update to come, or of the next update."""
        turn = self._d if phase == "d" else self._g
        (self.signals.next_part if turn.gathers else self.signals.next_update)(phase)
        turn.gathers = turn.counted and not turn.updated and (phase == "g" or self._d_due)
        if phase == "g":
            self.measure_g(**scalars)
        elif scalars:
            self._measure(scalars, "d")

    def _fire_d(self) -> None:
        if not self._d.fired:
            self._g_first = self._g.open or self._g.fired > 0
        self._d.close()
        self._moment("after_d_step")

    def _open_g(self) -> None:
        # Laws that act after D's step act before G's backward pass, unless the host has G first.
        if self._d.open or (not self._d_due and not self._d.fired and not self._g_first):
            self._fire_d()
        self._g.open = self._reported["g"] = True
        self._moment("before_g_backward")

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
            self._weighing.weigh(self._g_terms)
