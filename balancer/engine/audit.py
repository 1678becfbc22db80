"""The audit: what a host says is checked, cheaply and now and then, against what it does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, Literal

from balancer.engine.gradient_audit import GradientAudit, in_evaluation, modules_of
from balancer.engine.logit_audit import LogitAudit, leaves
from balancer.engine.loss_audit import LossAudit
from balancer.engine.optimizer_audit import OptimizerAudit
from balancer.engine.optimizers import Optimizers, Watched
from balancer.engine.ranks import agree, distributed_mean, is_first_rank
from balancer.engine.turns import Turn
from balancer.errors import AuditError, BalancerWarning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from balancer.contract.adversarial import Logits
    from balancer.contract.host import Host
    from balancer.engine.knob_board import KnobBoard

AuditMode = Literal["warn", "error", "off"]

# Steps that are looked at: these first ones of a process, then every so many-th. Reading a tensor makes the host wait.
FIRST: Final = 64
EVERY: Final = 64
# Turns in a row without an update: at first, and of an optimizer that has stepped before.
NEVER: Final = 32
LATER: Final = 256
# Optimizers under which a factor on the whole loss changes nothing but the reach of their epsilon.
SCALE_FREE: Final = ("Adam", "Adamax", "RAdam", "NAdam", "RMSprop", "Adagrad", "Lion", "Adadelta", "LAMB")
# Looks at whose weights make D's outputs: a host may report before any optimizer has stepped.
LOOKS: Final = 3
PARTS: Final = {"d": "D", "g": "G"}


class Audit:
    """Says once, of each thing that does not fit, what was seen, where, and what to do.

    Args:
        mode: "warn" with a `BalancerWarning`, "error" with an `AuditError`, or "off".
        note: keeps what is said.
    """

    def __init__(
        self,
        mode: AuditMode,
        host: Host,
        board: KnobBoard,
        optimizers: Optimizers,
        turns: Mapping[str, Turn],
        note: Callable[[str], object],
    ) -> None:
        self.mode: Final = mode
        self._host: Final = host
        self._board: Final = board
        self._optimizers: Final = optimizers
        self._turns: Final = turns
        self._note: Final = note
        self._said: Final[set[str]] = set()
        self._step = 0
        # Steps looked at so far; steps in which both networks were updated; a part's reports since its last update.
        self._steps = self._both = 0
        self._reports: Final = {"d": 0, "g": 0}
        self._ever: Final = {"d": False, "g": False}
        self._read: Final[set[str]] = set()
        self._modules: list[nn.Module] | None = None
        self._evaluating = 0
        self._lone_adv = self._unnamed_adv = 0
        # How often the weights of D's outputs were looked at, and whether they are none of its optimizers'.
        self._looks, self._elsewhere = 0, False
        self._logits: Final = LogitAudit(host.adversarial.name, self.say)
        self._loss: Final = LossAudit(host.adversarial.name, optimizers, self.say)
        self._gradients: Final = GradientAudit(optimizers, turns, self.say)
        self._steppers: Final = OptimizerAudit(optimizers, self.say)

    @property
    def due(self) -> bool:
        """Whether the step under way is looked at."""
        return self.mode != "off" and (self._steps < FIRST or self._steps % EVERY == 0)

    def say(self, kind: str, text: str) -> None:
        """Warn of something, or refuse to go on; once of each kind, on the first rank.

        Raises:
            AuditError: warnings are to be errors.
        """
        if self.mode == "off" or kind in self._said:
            return
        self._said.add(kind)
        self._note(text)
        text = f"step {self._step}: {text}"
        if self.mode == "error":
            raise AuditError(text)
        if is_first_rank():
            _warn(text)

    def compose(self, sentences: Collection[str]) -> None:
        """Say what the composition was warned of: a script has nobody else to print it."""
        for sentence in sentences if self.mode != "off" and is_first_rank() else ():
            _warn(sentence)

    def read(self, knob: str) -> None:
        """The host looked at a knob."""
        self._read.add(knob)

    def begin_step(self, step: int) -> None:
        """A step begins."""
        self._step = step
        if self.mode != "off":
            self._gradients.begin_step(self._steps)
            self._steppers.begin_step()

    def d_looked(self, real: Logits, fake: Logits) -> None:
        """The host passed D's outputs: are they what it says, and whose weights made them?"""
        self._logits.look(real, fake)
        self._loss.look(real, fake)
        due = self._looks < LOOKS or self._reports["d"] >= LATER
        made = leaves(real) if due and all(map(self._optimizers.knows, PARTS)) else set()
        self._elsewhere = False
        if not made:
            return
        self._looks += 1
        d, g = ({id(parameter) for parameter in self._optimizers.parameters(role)} for role in ("d", "g"))
        self._elsewhere = not made & d
        if not self._elsewhere:
            self._steppers.d_made_of(made - d - g)
        if made & g and self._elsewhere:
            self.say(
                "exchanged",
                "D's outputs come from the weights of the optimizer that was passed for G: are those of D and G "
                "exchanged in optimizers={'d': …, 'g': …}?",
            )

    def d_reported(self) -> None:
        """The host reported D's turn, after its update or in its place."""
        # Our own loop sets the mode; to find a script's modules takes a tenth of a second.
        if self.due and self._turns["d"].updates and not self._host.weighs:
            self._look_at_mode()

    def stepped(self, one: Watched) -> None:
        """An optimizer took a step."""
        if self.mode == "off":
            return
        self._gradients.stepped(one.role)
        self._steppers.stepped(one)
        self._loss.stepped(one)
        rests = one.role == "d" and "d_update" in self._board.specs and not self._board.held("d_update")
        if rests and "exchanged" not in self._said:  # else it was G's
            self.say(
                "d_update",
                "D's optimizer stepped although plugins said to skip D: update D only if balance.d_update",
            )

    def strange(self, one: Watched, other: object) -> None:
        """Another optimizer than the one passed updates this one's network."""
        role, kind = one.role, type(other).__name__
        self.say(
            f"strange_{role}",
            f"{PARTS[role]} is updated by another {kind} than the optimizer that was passed, on which lr_{role} acts: "
            f"make it before Balancer and pass it, optimizers={{{role!r}: …}}",
        )

    def stuck(self, calls: int) -> None:
        """Gradients gather in call after call of `start_step`, and no optimizer steps."""
        self.say(
            "stuck",
            f"no optimizer has stepped in {calls} calls of start_step: pass those that update D and G, "
            "optimizers={'d': …, 'g': …}; each call counts as a step from here on",
        )

    def end_step(self, reported: Mapping[str, bool], g_terms: Collection[str]) -> None:
        """A step ends, in which these parts were reported, and G had these terms."""
        if self.mode == "off":
            return
        for role, turn in self._turns.items():
            self._check_never(role, turn, reported[role])
        if self._both < 5:
            self._both += all(turn.counted and turn.updates > 0 for turn in self._turns.values())
            if self._both == 5:
                self._check_unread()
        if self.due and self._turns["g"].updates:
            self._check_lone_term(g_terms)
            self._check_adv_named(g_terms)
        self._steppers.end_step()
        if self.due:
            self._logits.settle()
            self._loss.settle()
            self._check_ranks()
        self._steps += 1

    def release(self) -> None:
        """Leave the networks as they were found."""
        self._gradients.release()

    def _check_never(self, role: str, turn: Turn, reported: bool) -> None:
        if not turn.counted or turn.updates:
            self._ever[role], self._reports[role] = True, 0
            return
        rests = role == "d" and "d_update" in self._board.specs and not self._board.held("d_update")
        self._reports[role] += reported and not rests
        # A script may let a network rest as long as it likes: D's outputs then still come from these weights.
        rests = self._ever[role] and not (role == "d" and self._elsewhere)
        if self._reports[role] >= (LATER if self._ever[role] else NEVER) and not rests:
            name, once = PARTS[role], " any more" if self._ever[role] else " once"
            self.say(
                f"never_{role}",
                f"{name}'s optimizer has not stepped{once}, though {name}'s turn came in {self._reports[role]} steps: "
                f"call its step() after {name}'s backward pass, or pass the one that steps, optimizers={{{role!r}: …}}",
            )

    def _check_unread(self) -> None:
        for knob, spec in self._board.specs.items():
            if not self._host.weighs and knob in self._host.knobs and knob not in ("lr_d", "lr_g", *self._read):
                self.say(f"unread_{knob}", f"this script obeys {knob} but has never looked at it: {spec.ask}")

    def _check_lone_term(self, g_terms: Collection[str]) -> None:
        alone = set(g_terms) == {"adv"} and "lambda_adv" in self._board.specs and not self._host.weighs
        told = [name for name in self._host.base if name.startswith("lambda_") and name != "lambda_adv"]
        self._lone_adv = self._lone_adv + 1 if alone and not told else 0
        if self._lone_adv < 5 or not self._board.contributions("lambda_adv"):
            return
        for one in self._optimizers.by_role.get("g", ()):
            kind = type(one.optimizer).__name__
            if any(name.lower() in kind.lower() for name in SCALE_FREE):
                self.say(
                    "lone_adv",
                    "adv is the only term of G's loss that was passed, and a weight on the whole loss does nothing "
                    f"under {kind}: pass G's other terms to balance.before_g_backward, or leave its law out",
                )

    def _check_adv_named(self, g_terms: Collection[str]) -> None:
        """G's adversarial term has one name; one of another name has no share and no signal."""
        nameless = "lambda_adv" in self._host.knobs and "adv" not in g_terms and not self._host.weighs
        own = [term for term in g_terms if f"lambda_{term}" not in {*self._host.base, *self._host.knobs}]
        # The only one without a weight, or one that says so itself.
        meant = own if len(own) == 1 < len(g_terms) and "lambda_adv" in self._host.base else []
        meant = [term for term in own if any(word.startswith(("adv", "gan")) for word in term.split("_"))] or meant
        self._unnamed_adv = self._unnamed_adv + 1 if nameless and meant else 0
        if self._unnamed_adv == 5:
            self.say(
                "unnamed_adv",
                f"G's terms were passed without adv, which is the one that lambda_adv weighs: if {meant[0]} is the "
                "adversarial one, pass it as adv, balance.before_g_backward(adv=…)",
            )

    def _look_at_mode(self) -> None:
        if self._modules is None:
            self._modules = modules_of(self._optimizers.parameters("d"))
        self._evaluating = self._evaluating + 1 if in_evaluation(self._modules) else 0
        if self._evaluating >= 3:
            self.say(
                "d_in_eval",
                "D is in evaluation mode while it is trained, so that dropout and batch norm rest: call D.train()",
            )

    def _check_ranks(self) -> None:
        # Our own loop compares for itself, and ends.
        if distributed_mean() is None or self._host.weighs:
            return
        holding = {knob: repr(self._board.held(knob)) for knob in self._board.specs if knob not in ("lr_d", "lr_g")}
        if not agree(repr((self._step, sorted(holding.items())))):
            shown = ", ".join(f"{knob} {value}" for knob, value in sorted(holding.items()))
            self.say(
                "ranks",
                f"ranks disagree about what knobs hold (here: {shown}): a plugin decides on something of its own rank; "
                "let it publish that as a signal, which is averaged",
            )


def _warn(text: str) -> None:
    """Warn where the host called, which is the nearest place outside this package and torch."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("balancer", "torch"):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, BalancerWarning, stacklevel=level)
