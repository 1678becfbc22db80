"""Synthetic logs of the zi2zi family: made figures, printed as each code prints them, with its other lines between."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from balancer.reading.history import History
from balancer.reading.source import Fact, Source
from zi2zi_model.diagnosis.logs import ZiLogParser

BATCHES = 416
EVERY = 100  # steps between two rows, as the ports print


@dataclass(frozen=True)
class Losses:
    """The figures of one row, raw, D's as the mean of its halves; `cat` is G's, D's logged one is twice that."""

    d: float
    adv: float
    l1: float
    const: float
    cat: float = 0.0
    tv: float = 0.0
    trust: float = 1.0


def symmetric(d: float) -> float:
    """G's adversarial loss where D errs alike on both halves, at mean loss `d`."""
    return -math.log(-math.expm1(-max(d, 1e-9)))


def starved(rows: int = 400, seed: int = 0) -> list[Losses]:
    """The source document's case: D's loss 0.01 to 0.0003, cheat loss 4 to 12, L1 and const creeping up."""
    rng = random.Random(seed)
    made = []
    for index in range(rows):
        at = index / (rows - 1)
        d = 0.01 * (0.0003 / 0.01) ** at * math.exp(rng.gauss(0, 0.1))
        adv = (4 + 8 * at) * math.exp(rng.gauss(0, 0.01)) if 0 < index < rows - 1 else 4 + 8 * at
        made.append(Losses(d, adv, 0.25 + 0.003 * (at - 0.5), 0.28 + 0.004 * (at - 0.5)))
    made[0] = Losses(0.01, 4, 0.25, 0.28)
    made[-1] = Losses(0.0003, 12, 0.25, 0.28)
    return made


def healthy(rows: int = 400, seed: int = 0, category: bool = True) -> list[Losses]:
    """D's loss noisy in 0.1–0.4, cheat loss 4 to 1 and L1 falling slowly; the very first row of a new D at chance."""
    rng = random.Random(seed)
    made = [Losses(math.log(2), math.log(2), 0.6, 0.5, 0.69 if category else 0.0)]
    for index in range(1, rows):
        at = index / (rows - 1)
        d = min(max(0.25 + rng.gauss(0, 0.06), 0.1), 0.4)
        # An asymmetric D gives G more to lose than a symmetric one.
        adv = max(symmetric(d), 3 - 1.2 * at + rng.gauss(0, 0.3))
        l1 = 0.15 + 0.15 * math.exp(-4 * at) + rng.gauss(0, 0.005)
        const = 0.2 + 0.1 * math.exp(-4 * at) + rng.gauss(0, 0.005)
        cat = abs(rng.gauss(0.01, 0.004)) * (1 + 3 * math.exp(-20 * at)) if category else 0.0
        made.append(Losses(d, adv, l1, const, cat))
    return made


def g_loss(row: Losses, weights: tuple[float, float]) -> float:
    """G's loss of a row with these weights of l1 and const."""
    return row.trust * row.adv + weights[0] * row.l1 + weights[1] * row.const + row.cat + row.tv


def tf(row: Losses, epoch: int, batch: int, weights: tuple[float, float], spaces: str = "") -> str:
    """A line of kaonashi-tyc/zi2zi: weighted terms, D's loss a sum."""
    return f"{_port(row, epoch, batch, weights, 4, spaces)}, {spaces}tv_loss: {row.tv:.5f}"


def port(row: Losses, epoch: int, batch: int, weights: tuple[float, float], spaces: str = "") -> str:
    """A line of EuphoriaYan/zi2zi-pytorch: as TensorFlow's, without the tv loss."""
    return _port(row, epoch, batch, weights, 2, spaces)


def _port(row: Losses, epoch: int, batch: int, weights: tuple[float, float], time: int, spaces: str) -> str:
    figures = (
        ("d", 2 * row.d + row.cat),
        ("g", g_loss(row, weights)),
        ("category", 2 * row.cat),
        ("cheat", row.adv),
        ("const", weights[1] * row.const),
        ("l1", weights[0] * row.l1),
    )
    listed = ", ".join(f"{spaces}{name}_loss: {spaces}{value:.5f}" for name, value in figures)
    return f"Epoch: [{epoch:2d}], [{batch:4d}/{BATCHES:4d}] time: {61.5 + batch:4.{time}f}, {listed}"


def fork(row: Losses, epoch: int, batch: int, weights: tuple[float, float], spaces: str = "") -> str:
    """A line of max32002/zi2zi-pytorch of December 2025: raw terms, D's loss a mean."""
    terms = (("category", 2 * row.cat), ("cheat", row.adv), ("const", row.const), ("l1", row.l1))
    figures = (*_fork_d(row, weights), *terms)
    listed = ", ".join(f"{spaces}{name}_loss: {spaces}{value:.4f}" for name, value in figures)
    return f"Epoch: [{epoch:2d}], [{batch:4d}/{BATCHES:4d}] time: {61 + batch:5d}, {listed}"


def later(row: Losses, epoch: int, batch: int, weights: tuple[float, float], spaces: str = "") -> str:
    """A line of a later commit of it: lambda_adv, but no category loss."""
    figures = (*_fork_d(row, weights), ("adv", row.adv), ("const", row.const), ("l1", row.l1))
    listed = ", ".join(f"{spaces}{name}_loss: {spaces}{value:.4f}" for name, value in figures)
    head = f"Epoch: [{epoch:2d}], [{batch:4d}/{BATCHES:4d}] time: {61 + batch:5d}, {listed}"
    return f"{head}, lambda_adv: {row.trust:.2f}"


def two_line(row: Losses, epoch: int, batch: int, weights: tuple[float, float], spaces: str = "") -> str:
    """A row of another version of it, on two lines, without the adversarial term."""
    figures = (*_fork_d(row, weights), ("const", row.const), ("l1", row.l1), ("fm", 0.0), ("perc", 0.5))
    listed = ", ".join(f"{spaces}{name}_loss:  {value:.4f}" for name, value in figures)
    return (
        f"Epoch: [{epoch:2d}], Batch: [{batch:4d}/{BATCHES:4d}]  | Time/Batch: 0.35s | Total Time: 1h 3m 2s\n {listed}"
    )


def _fork_d(row: Losses, weights: tuple[float, float]) -> tuple[tuple[str, float], ...]:
    return ("d", row.d + row.cat), ("g", g_loss(row, weights))


FORMATS: dict[str, Callable[..., str]] = {"tf": tf, "port": port, "fork": fork, "later": later, "two-line": two_line}


def lines(
    rows: Sequence[Losses],
    form: str = "fork",
    weights: tuple[float, float] = (90.0, 5.0),
    *,
    resumed: int | None = None,
    spaces: str = "",
    rates: tuple[float, float] | None = (1e-3, 1e-3),
    prefix: str = "",
    per_loss: bool = False,
) -> Iterator[str]:
    """A whole log with the lines that stand between its rows; learning rates decay by 1 % an epoch down to 2e-4."""
    yield "---------- Networks initialized -------------"
    yield "[Network G] Total number of parameters : 52.875 M"
    yield "[Network D] Total number of parameters : 4.412 M"
    if resumed is not None:
        yield f"Resumed model from step/epoch: {resumed}"
    yield "Starting training from epoch 0/99..."
    before = 0
    for index, row in enumerate(rows):
        epoch, batch = divmod(index * EVERY, BATCHES)
        if epoch > before:
            yield f"--- End of Epoch {before} --- Time: 412s ---"
            if rates is not None:
                new = tuple(max(rate * 0.99, 2e-4) for rate in rates)
                for name, old, now in zip("DG", rates, new, strict=True):
                    yield f"Decay net_{name} learning rate from {old:.6f} to {now:.6f}."
                rates = new[0], new[1]
            before = epoch
        line = prefix + FORMATS[form](row, epoch, batch, weights, spaces)
        yield from (line + ", per_loss: 0.12345" if per_loss else line).split("\n")
        if index % 5 == 0:
            yield f"Checkpoint: save checkpoint step {index * EVERY}"
            yield " Model saved to D:/fonts/my_font (loss: fine)"


def read(text: Iterator[str] | Sequence[str]) -> tuple[History, Source, list[str]]:
    """What a reader does, without one: rows into a history, facts into a source; and why lines were refused."""
    parser, history, source, refused = ZiLogParser(), History(), Source("train.log", "log", "zi2zi"), []
    step = -1.0
    for line in text:
        try:
            got = parser.feed(line)
        except ValueError as error:
            refused.append(str(error))
            continue
        if isinstance(got, list):
            source.facts += [Fact(fact.kind, step, fact.values) for fact in got]
        elif got is not None:
            row = dict(got)  # type: ignore[arg-type]
            step = row.pop("step")
            history.add(step, row)
            source.rows += 1
    source.format, source.steps_per_epoch = parser.format, parser.steps_per_epoch
    return history, source, refused
