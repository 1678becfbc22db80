"""Which signal a name in a foreign log means: common names of the losses of D and G, and of what goes with them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final, NamedTuple

from balancer.reading.chinese import in_english
from balancer.reading.loss_names import (
    BESIDE,
    BESIDE_RATES,
    EXACT,
    MEASURES,
    NAMES,
    NEVER,
    TERMS,
    TRAINING,
    WORD_MEANINGS,
)

# A run's own columns and tags: their names are the signals' already.
OWN: Final = re.compile(
    r"(?:signal/|knob/)?(d_adv|critic_gap|d_update|d_frozen|adv_effective|real_label|fake_label"
    r"|lambda_[a-z0-9_]{1,32}|[a-z0-9_]{1,32}_share)"
)
_SHARE: Final = re.compile(r"share/([a-z0-9_]{1,32})")
_WORDS: Final = re.compile(r"[^\W_]{1,64}")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LOSS_WORD: Final = re.compile(r"([a-z0-9]{1,16}?)(loss)")
_GROUP: Final = re.compile("pg(?=[0-9])|group(?=[0-9])")
_NUMBER: Final = re.compile("[0-9]{1,2}")
_CUT: Final = re.compile(r"[/ .:]")
# Words of reinforcement learning, whose critic is no D.
OF_AGENTS: Final = frozenset({"actor", "policy", "reward", "rewards", "episode", "advantage"})
# What a log of a GAN holds beside its critic's loss.
BESIDE_A_CRITIC: Final = frozenset(
    {"g_loss", "adv", "critic_gap", "d_gp", "d_loss_real", "d_loss_fake", "d_logit_real", "d_logit_fake"}
)
LONGEST_NAME: Final = 200  # a longer name means nothing


class Guess(NamedTuple):
    """What a name means, and how well it fits (lower is better)."""

    signal: str
    rank: tuple[int, int, int]


@lru_cache(maxsize=4096)
def guess(name: str) -> Guess | None:
    """The signal that a name in a log means, or None."""
    if len(name) > LONGEST_NAME:
        return None
    # Weights & Biases puts the run's name before it.
    rest = in_english(name.rpartition(" - ")[2]).strip()
    own = OWN.fullmatch(rest)
    if own is not None:
        weight = _signal(_meanings(_words(own[1])), whole=True) if own[1].startswith("lambda_") else None
        return Guess(own[1] if weight is None else weight[0], (0, 0, 0))
    share = _SHARE.fullmatch(rest)
    if share is not None:
        return Guess(f"{share[1]}_share", (0, 0, 0))
    words = _words(rest)
    if NEVER.intersection(words) or (MEASURES.intersection(words) and not _meanings(words) & {"loss", "lambda"}):
        return None
    short = rest.rpartition("/")[2]
    if short in EXACT:
        exact = EXACT[short]
        return None if exact is None else Guess(exact, (0 if TRAINING.intersection(words) else 1, 0, 0))
    training = 0 if TRAINING.intersection(words) else 1
    dropped = 0
    while rest:
        found = _signal(_meanings(_words(rest)), whole=not dropped)
        if found is not None:
            return Guess(found[0], (training, dropped, found[1]))
        # What comes before may be the name of an experiment, or other text of the line.
        cut = _CUT.search(rest)
        if cut is None or dropped == 8:
            return None
        rest, dropped = rest[cut.end() :], dropped + 1
    return None


def endings(name: str) -> Iterator[str]:
    """A name of a log and what it ends with, without what Weights & Biases, Lightning and StyleGAN put around it."""
    rest = name[:LONGEST_NAME].rpartition(" - ")[2].strip().removesuffix(".mean")
    rest = rest.removesuffix("_step").removesuffix("_epoch") or rest
    yield rest
    while cut := re.search(r"[/. ]", rest):
        rest = rest[cut.end() :]
        if rest:
            yield rest


def counter(name: str, names: tuple[str, ...]) -> int | None:
    """How good a name of a step (or of an epoch) it is, 0 being best; None where it is not one."""
    name = in_english(name)
    part = _last_part(name)
    for short in (part, part.rpartition(".")[2], _last(name)):
        if short.strip("_") in names:
            return names.index(short.strip("_"))
    return None


def is_critics(name: str) -> bool:
    """Whether a name is that of a critic: WGAN's D, or what rates the actions of an agent."""
    return "critic" in _words(name[:LONGEST_NAME])


def is_of_a_gan(names: Iterable[str]) -> bool:
    """Whether a critic among these names of a log is a D: beside G or what a GAN has of its D, and beside no actor."""
    names = [name[:LONGEST_NAME] for name in names]
    words = {word for name in names for word in _words(name)}
    if words & OF_AGENTS:
        return False
    found = {signal.signal for name in names if (signal := guess(name)) is not None}
    others = {signal.signal for name in names if not is_critics(name) and (signal := guess(name)) is not None}
    return bool(found & BESIDE_A_CRITIC or others & {"d_loss"} or "wasserstein" in words)


def plain(name: str) -> str:
    """A name without the differences in case and separators that users need not mind."""
    return " ".join(_words(name[:LONGEST_NAME]))


def _last_part(name: str) -> str:
    """The last part of a path of names."""
    return re.split(r"[/ ]", name[-LONGEST_NAME:].strip())[-1].lower()


def _last(name: str) -> str:
    """The last part of a path of names, without what Lightning and StyleGAN put behind it."""
    short = _last_part(name).removesuffix(".mean")
    return short.rpartition(".")[2].removesuffix("_step").removesuffix("_epoch") or short


def _words(name: str) -> list[str]:
    found = []
    for run in _WORDS.findall(name):
        for word in _CAMEL.split(run):
            lower = word.lower()
            glued = _LOSS_WORD.fullmatch(lower)
            found += [lower] if glued is None else [glued[1], glued[2]]
            if found[-1] == "penalty" and found[-2:-1] in (["gradient"], ["grad"]):
                found[-2:] = ["gp"]
    return found


def _meanings(words: list[str]) -> frozenset[str]:
    joined = " ".join(words).replace("learning rate", "lr").split()
    beside: frozenset[str] = frozenset()
    if "lr" in joined:
        beside, joined = BESIDE_RATES, [_GROUP.sub("", word) for word in joined]
    return frozenset(WORD_MEANINGS.get(word, word) for word in joined if word not in beside) - {""}


def _signal(words: frozenset[str], *, whole: bool) -> tuple[str, int] | None:
    if not words:
        return None
    found = _TABLE.get(words)
    if found is not None:
        return found if whole or len(words) > 1 or "lr" in words else None
    if "lr" in words and len(words) == 2:
        # The number of an optimizer or of its group of parameters.
        return next(((f"lr_{int(word)}", 0) for word in words if _NUMBER.fullmatch(word)), None)
    if "lambda" in words:
        term = _TABLE.get(words - {"lambda"})
        return (f"lambda_{term[0]}", 0) if term is not None and term[0] in {"adv", *TERMS, *BESIDE} else None
    return None


def _table() -> dict[frozenset[str], tuple[str, int]]:
    table: dict[frozenset[str], tuple[str, int]] = {}
    for signal, names in NAMES.items():
        for place, name in enumerate(names):
            table.setdefault(frozenset(name.replace("?", "").split()), (signal, place))
            if "loss?" in name:
                table.setdefault(frozenset(name.split()) - {"loss?"}, (signal, place))
    for terms, alone in ((TERMS, True), (BESIDE, False)):
        for signal, names in terms.items():
            for place, name in enumerate(names):
                words = frozenset(name.split())
                for beside in ({"loss"}, {"g"}, {"g", "loss"}, *((set(),) if alone else ())):
                    table.setdefault(words | beside, (signal, place))
    return table


_TABLE: Final = _table()
