"""How often a diagnosis reads a story into noise, and how often it finds what is there.

    python benchmarks/diagnosis_alarms.py [--logs 1000] [--found 200] [--family between]
    python benchmarks/diagnosis_alarms.py --since [--logs 400] [--found 200]

Nothing happens over time in the first kind: rows of seven families of codes, in random order, or of a stationary series
(first-order autoregressive, 0.5 from row to row), 20 to 10,000 rows. A finding or verdict about time is a false alarm.
Levels are healthy ones, or those of a D that has won, or guesses, from the first row to the last: that may be said.

In the second kind something happens, of a stated size: each is to be found by name.

`--since` asks of a change at a random place, five rows or more from either end, whether it helped. In stationary logs
of 40 to 2,000 rows an indicator that improved or got worse is a false alarm, and so is a rise that is said to have
ended while it goes on, or that would have come to rest without the change.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np

from balancer.diagnosis.diagnose import Diagnosis, diagnose_history
from balancer.reading.history import History
from balancer.reading.series import Series
from balancer.reading.source import Source

Floats = np.ndarray
ROWS = (20, 40, 100, 300, 1000, 10_000)

# Median and spread (of the logarithm) of what these codes print, as in public logs and papers of theirs.
FAMILIES: dict[str, dict[str, tuple[float, float]]] = {
    "pix2pix": {"adv": (1.9, 0.4), "l1": (5.0, 0.4), "d_loss_real": (0.35, 0.7), "d_loss_fake": (0.35, 0.7)},
    "zi2zi": {"d_loss": (0.5, 0.4), "adv": (1.5, 0.3), "l1": (0.2, 0.1), "const": (0.2, 0.2), "g_loss": (22.0, 0.1)},
    "dcgan": {"d_loss": (0.7, 0.6), "adv": (2.5, 0.4), "d_prob_real": (0.75, 0.1), "d_prob_fake": (0.2, 0.3)},
    "stylegan2": {"d_loss": (0.9, 0.15), "adv": (0.9, 0.3)},
    "vocoder": {"d_loss": (3.1, 0.05), "adv": (3.3, 0.08), "mel": (0.3, 0.1), "g_loss": (30.0, 0.08)},
    "won": {"d_loss_real": (0.01, 0.8), "d_loss_fake": (0.01, 0.8), "adv": (6.0, 0.2), "l1": (5.0, 0.4)},
    "between": {"d_loss_real": (0.06, 1.0), "d_loss_fake": (0.06, 1.0), "adv": (3.0, 0.4), "l1": (5.0, 0.4)},
}
# What says nothing about time: levels, units, columns.
OF_LEVELS = {
    "saturated.lasting", "starved", "collapse", "smoothing_floor", "inconsistent_columns.floor", "adv_share.stands",
    "adv_share.small", "learning_rate.equal", "collapse.even", "bursts",
}  # fmt: skip
ABOUT_TIME = ("verdict.doubtful", "verdict.back")


def noise(rows: int, spread: float, rho: float, random: np.random.Generator) -> Floats:
    """A stationary series of a log-normal quantity around 1."""
    values = random.normal(size=rows)
    for index in range(1, rows) if rho else ():
        values[index] = rho * values[index - 1] + math.sqrt(1 - rho * rho) * values[index]
    return np.exp(spread * values)


def judged(signals: dict[str, Floats]) -> Diagnosis:
    """The diagnosis of these rows, as a log of no known family, 100 steps apart."""
    history = History()
    steps = 100.0 * np.arange(len(next(iter(signals.values()))))
    history.series.update({name: Series.of(steps, values) for name, values in signals.items()})
    return diagnose_history(history, Source("train.log", "log", rows=len(steps)))


def about_time(made: Diagnosis) -> set[str]:
    """The findings that tell of a change, and the verdict where it does."""
    first, last = made.case.history.first_step, made.case.history.last_step
    found = set()
    for finding in made.findings:
        whole = finding.steps is None or (finding.steps[0] <= first + 100 and finding.steps[1] >= last)
        if finding.words not in OF_LEVELS or not whole:
            found.add(finding.words)
    return found | {made.verdict.words} & set(ABOUT_TIME)


def still(logs: int, random: np.random.Generator, names: list[str]) -> Iterator[tuple[str, str, int, Diagnosis]]:
    """Logs of these families in which nothing happens over time."""
    for index in range(logs):
        family, rows = names[index % len(names)], ROWS[index // len(names) % len(ROWS)]
        for kind, rho in (("shuffled", 0.0), ("stationary", 0.5)):
            signals = {
                name: level * noise(rows, spread, rho, random) for name, (level, spread) in FAMILIES[family].items()
            }
            yield family, kind, rows, judged(signals)


def _happens(rows: int, change: Callable[[Floats], dict[str, Floats]]) -> Callable[[np.random.Generator], Diagnosis]:
    def made(random: np.random.Generator) -> Diagnosis:
        t = np.linspace(0, 1, rows)
        return judged({name: level * noise(rows, 0.15, 0.3, random) for name, level in change(t).items()})

    return made


# What happens, the words that tell of it, and the levels from time 0 to 1; each signal varies by 15 % around them.
EVENTS: list[tuple[str, set[str], Callable[[Floats], dict[str, Floats]]]] = [
    (
        "G's loss climbs by three quarters",
        {"g_loss_rising", "g_loss_rising.adv"},
        lambda t: {"g_loss": 20 * (1 + 0.75 * t), "d_loss": 0.5 + 0 * t},
    ),
    (
        "L1 falls, then rises to 2.6 times its best",
        {"verdict.doubtful"},
        lambda t: {
            "l1": np.where(t < 0.4, 0.4 - 0.5 * t, 0.2 + (t - 0.4) / 1.9),
            "adv": 1.5 + 0 * t,
            "d_loss": 0.5 + 0 * t,
        },
    ),
    (
        "L1 jumps to 2.2 times its level",
        {"verdict.doubtful"},
        lambda t: {"l1": np.where(t < 0.6, 0.2, 0.44), "adv": 1.5 + 0 * t, "d_loss": 0.5 + 0 * t},
    ),
    (
        "D wins half-way",
        {"saturated.lasting"},
        lambda t: {"d_adv": np.where(t < 0.5, 0.3, 0.005), "adv": np.where(t < 0.5, 1.5, 7.0)},
    ),
    (
        "D blows up in the last tenth",
        {"blow_up"},
        lambda t: {"d_adv": np.where(t < 0.9, 0.3, 12.0), "adv": 1.5 + 0 * t},
    ),
    (
        "the cheat loss triples while D wins",
        {"cheat_rising"},
        lambda t: {"d_adv": 0.1 * np.exp(-4 * t), "adv": 2 + 4 * t},
    ),
    (
        "D swings, ten times",
        {"oscillation"},
        lambda t: {"d_adv": np.exp(-1.6 + 2.4 * np.sin(20 * np.pi * t)), "adv": 1.5 + 0 * t},
    ),
]


def events() -> dict[str, tuple[set[str], Callable[[np.random.Generator], Diagnosis]]]:
    """What happens, with the words that tell of it, in logs of 100 rows and more."""
    found: dict[str, tuple[set[str], Callable[[np.random.Generator], Diagnosis]]] = {}
    for rows in (100, 1000):
        for what, wanted, change in EVENTS:
            found[f"{what}, {rows} rows"] = wanted, _happens(rows, change)
    return found


def asked(signals: dict[str, Floats], at: int) -> dict[str, str]:
    """The outcome of each indicator of a change at that row."""
    made = judged(signals)
    made.case.history.last_step = 100.0 * (len(next(iter(signals.values()))) - 1)
    return {one.name: one.outcome for one in made.since(100 * at).indicators}


def place(rows: int, random: np.random.Generator) -> int:
    """Any row of those with five before them and after them."""
    return int(random.integers(5, rows - 4))


def changes_of_nothing(logs: int, random: np.random.Generator) -> bool:
    """Measure and print false alarms of `--since`; whether they are too many."""
    print(f"{'nothing happens, correlation from row to row':<58}{'improved or worse':>18}")
    failed = False
    for rho in (0.0, 0.5, 0.8):
        alarms: Counter[str] = Counter()
        for index in range(logs):
            family = FAMILIES[list(FAMILIES)[index % len(FAMILIES)]]
            rows = round(math.exp(random.uniform(math.log(40), math.log(2000))))
            signals = {name: level * noise(rows, spread, rho, random) for name, (level, spread) in family.items()}
            told = asked(signals, place(rows, random))
            said = {f"{name} {outcome}" for name, outcome in told.items() if outcome in ("improved", "worse")}
            alarms.update([*said, "any"] if said else [])
        print(f"{rho:<58}{100 * alarms['any'] / logs:>17.1f}%", dict(alarms) or "")
        failed |= rho <= 0.5 and alarms["any"] > 0.02 * logs
    return failed


def true_changes(found: int, random: np.random.Generator) -> bool:
    """Measure and print which true changes `--since` finds, and what it takes for one; whether it errs too often."""
    print(f"\n{'0.5 from row to row':<58}" + "".join(f"{rows:>7}" for rows in SINCE_ROWS) + "   rows")
    rates = {}
    for name, (signal, change) in CHANGES.items():
        hits = []
        for rows in SINCE_ROWS:
            made = (change(rows, random) for _ in range(found))
            hits.append(100 * sum(asked(*one).get(signal) == "improved" for one in made) / found)
        rates[name] = hits
        print(f"{name:<58}" + "".join(f"{hit:>6.1f}%" for hit in hits))
    rises, ends, _, goes_on, rests = rates.values()
    return bool(min(np.mean(rises), *ends[3:]) < 95 or max(goes_on) > 2 or np.mean(rests) > 5)


SINCE_ROWS = (40, 100, 300, 1000, 2000)


def d_adv_rises(rows: int, random: np.random.Generator) -> tuple[dict[str, Floats], int]:
    """Anywhere in the log."""
    at = place(rows, random)
    return {"d_adv": np.where(np.arange(rows) < at, 0.01, 0.2) * noise(rows, 0.5, 0.5, random)}, at


def rise_ends(by: float) -> Callable[[int, np.random.Generator], tuple[dict[str, Floats], int]]:
    """In the middle two fifths, risen by that share."""

    def made(rows: int, random: np.random.Generator) -> tuple[dict[str, Floats], int]:
        at = int(random.integers(0.3 * rows, 0.7 * rows))
        risen = np.minimum(np.arange(rows) / at, 1)
        return {"g_loss": 20 * (1 + by * risen) * noise(rows, 0.08, 0.5, random)}, at

    return made


def rise_goes_on(rows: int, random: np.random.Generator) -> tuple[dict[str, Floats], int]:
    """Through the whole log, whatever was changed."""
    return {"g_loss": 20 * (1 + np.arange(rows) / rows) * noise(rows, 0.08, 0.5, random)}, place(rows, random)


def rests_by_itself(rows: int, random: np.random.Generator) -> tuple[dict[str, Floats], int]:
    """From 1.2 to 2.6, ever more slowly, whatever was changed."""
    slowly = 1 - np.exp(-np.arange(rows) / (rows * random.uniform(0.1, 0.4)))
    return {"adv": (1.2 + 1.4 * slowly) * noise(rows, 0.08, 0.5, random)}, place(rows, random)


CHANGES = {
    "improved: D's loss from 0.01 to 0.2, varying by 50 %": ("d_adv", d_adv_rises),
    "improved: G's loss, doubled by then, stands, varying by 8 %": ("g_loss", rise_ends(1.0)),
    "improved: G's loss, up by three quarters by then, stands": ("g_loss", rise_ends(0.75)),
    "improved, wrongly: G's loss goes on to double": ("g_loss", rise_goes_on),
    "improved, wrongly: the cheat loss comes to rest by itself": ("adv", rests_by_itself),
}


def main() -> None:
    """Measure and print; fails where more than a hundredth is a false alarm, or less than 95 in 100 are found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int)
    parser.add_argument("--found", type=int, default=200)
    parser.add_argument("--family", choices=FAMILIES, help="of this one only")
    parser.add_argument("--since", action="store_true")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    if given.since:
        sys.exit(changes_of_nothing(given.logs or 400, random) | true_changes(given.found, random))
    tried: Counter[tuple[str, str]] = Counter()
    alarms: Counter[tuple[str, str]] = Counter()
    words: Counter[str] = Counter()
    for family, kind, rows, made in still(given.logs or 1000, random, [given.family] if given.family else [*FAMILIES]):
        false = about_time(made)
        for key in ((family, kind), ("all", kind), (f"{rows} rows", kind)):
            tried[key] += 1
            alarms[key] += bool(false)
        words.update(false)
    print(f"{'nothing happens':<24}{'logs':>6}{'shuffled':>10}{'stationary':>12}   with a finding about time")
    failed = False
    for name in dict.fromkeys(key for key, _ in tried):
        rates = [100 * alarms[name, kind] / tried[name, kind] for kind in ("shuffled", "stationary")]
        print(f"{name:<24}{tried[name, 'shuffled']:>6}{rates[0]:>9.1f}%{rates[1]:>11.1f}%")
        failed |= name == "all" and max(rates) > 1
    print("of these:", ", ".join(f"{word} {count}" for word, count in words.most_common()) or "none")
    print(f"\n{'something happens':<58}{'found':>8}")
    for name, (wanted, make) in events().items():
        hits = sum(
            bool(wanted & {made.verdict.words, *(one.words for one in made.findings)})
            for made in (make(random) for _ in range(given.found))
        )
        print(f"{name:<58}{100 * hits / given.found:>7.1f}%")
        failed |= hits < 0.95 * given.found
    sys.exit(failed)


if __name__ == "__main__":
    main()
