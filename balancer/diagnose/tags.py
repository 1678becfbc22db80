"""Which signal a name in a foreign log means: common names of the losses of D and G, and of what goes with them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

# Words of one meaning; those that mean nothing here are left out of a name.
MEANINGS: Final[Mapping[str, str]] = {
    word: meaning
    for meaning, words in {
        "g": "g gen generator netg",
        "d": "d dis disc discriminator netd critic",
        "loss": "loss losses err error cost",
        "adv": "adv adversarial gan cheat",
        "total": "total all sum full overall",
        "real": "real",
        "fake": "fake generated",
        "acc": "acc accuracy",
        "logit": "logit logits score scores",
        "lambda": "lambda lam weight",
        "rec": "rec recon recons reconstruction",
        "perceptual": "perceptual percep perc vgg lpips per",
        "fm": "fm feat feature featurematching matching match",
        "const": "const constant",
        "category": "category cat cls",
        "cycle": "cycle cyc",
        "idt": "idt identity",
        "pixel": "pixel pix",
        "": "train training trn metric metrics scalar scalars avg average mean running step epoch batch iter log stats",
    }.items()
    for word in words.split()
}

# Names that are never guessed: of validation, and figures about losses that are no losses.
NEVER: Final = frozenset(
    {
        "val",
        "valid",
        "validation",
        "eval",
        "evaluation",
        "test",
        "dev",
        "grad",
        "grads",
        "gradient",
        "norm",
        "time",
        "std",
        "var",
        "min",
        "max",
        "num",
        "count",
        "ema",
        "fid",
        "kid",
        "best",
        "speed",
        "eta",
        "memory",
        "mem",
        "sec",
        "seconds",
        "band",
    }
)
TRAINING: Final = frozenset({"train", "training", "trn"})

# Signal: its names, best first. "loss?" may be missing. A name of one word counts only where nothing else stands there.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "d_loss": ("d loss", "d total loss?", "d", "d adv loss?", "d a loss?"),
    "d_loss_real": ("d real loss?", "real loss", "d adv real loss?"),
    "d_loss_fake": ("d fake loss?", "fake loss", "d adv fake loss?"),
    "d_category": ("d category loss?",),
    "d_acc": ("d acc",),
    "d_acc_real": ("d acc real", "acc real"),
    "d_acc_fake": ("d acc fake", "acc fake"),
    "d_logit_real": ("d logit real", "logit real"),
    "d_logit_fake": ("d logit fake", "logit fake"),
    "g_loss": ("g loss", "g total loss?", "g"),
    "adv": ("adv loss", "g adv loss?", "adv", "g a loss?"),
    "lr": ("lr",),
    "lr_d": ("d lr",),
    "lr_g": ("g lr",),
}

# G's further terms are signals of their own names; with "loss" or "g" beside them, or alone.
TERMS: Final[Mapping[str, tuple[str, ...]]] = {
    "l1": ("l1", "pixel l1", "rec l1"),
    "l2": ("l2", "mse"),
    "const": ("const",),
    "category": ("category",),
    "tv": ("tv",),
    "perceptual": ("perceptual",),
    "rec": ("rec",),
    "mel": ("mel", "mel spec", "mel l1"),
    "fm": ("fm", "adv fm"),
    "nll": ("nll",),
    "kl": ("kl",),
    "cycle": ("cycle", "cycle a"),
    "idt": ("idt", "idt a"),
    "ssim": ("ssim",),
    "dur": ("dur",),
    "pixel": ("pixel",),
}
# Words of other meaning elsewhere: terms only beside "loss" or "g".
BESIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "style": ("style",),
    "content": ("content",),
    "perceptual": ("p",),
    "skeleton": ("skeleton",),
    "edge": ("edge",),
}

# Codes whose names mean something else than elsewhere: by names that must be there together.
DIALECTS: Final[tuple[tuple[frozenset[str], Mapping[str, str | None]], ...]] = (
    # taming-transformers and latent diffusion: g_loss is the adversarial term, d_weight its weight.
    (
        frozenset({"d_weight", "g_loss", "disc_loss"}),
        {"g_loss": "adv", "total_loss": "g_loss", "d_weight": "lambda_adv"},
    ),
    (frozenset({"d_weight", "g_loss", "discloss"}), {"g_loss": "adv", "aeloss": "g_loss", "d_weight": "lambda_adv"}),
)

# Steps and epochs, best first.
STEPS: Final = ("global_step", "step", "steps", "iteration", "iterations", "iter", "iters", "it", "batch", "kimg")
EPOCHS: Final = ("epoch", "epochs", "current_epoch")

# A run's own columns and tags: their names are the signals' already.
OWN: Final = re.compile(
    r"(?:signal/|knob/)?(d_adv|d_update|d_frozen|adv_effective|real_label|fake_label"
    r"|lambda_[a-z0-9_]{1,32}|[a-z0-9_]{1,32}_share)"
)
_SHARE: Final = re.compile(r"share/([a-z0-9_]{1,32})")
_WORDS: Final = re.compile(r"[A-Za-z0-9]{1,64}")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LOSS_WORD: Final = re.compile(r"([a-z0-9]{1,16}?)(loss)")
_CUT: Final = re.compile(r"[/ .:]")
LONGEST: Final = 200  # a longer name is none


class Guess(NamedTuple):
    """What a name means, and how well it fits (lower is better)."""

    signal: str
    rank: tuple[int, int, int]


@lru_cache(maxsize=4096)
def guess(name: str) -> Guess | None:
    """The signal that a name in a log means, or None."""
    if len(name) > LONGEST:
        return None
    # Weights & Biases puts the run's name before it.
    rest = name.rpartition(" - ")[2]
    own = OWN.fullmatch(rest)
    if own is not None:
        weight = _signal(_meanings(_words(own[1])), whole=True) if own[1].startswith("lambda_") else None
        return Guess(own[1] if weight is None else weight[0], (0, 0, 0))
    share = _SHARE.fullmatch(rest)
    if share is not None:
        return Guess(f"{share[1]}_share", (0, 0, 0))
    words = _words(rest)
    if NEVER.intersection(words):
        return None
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


def dialect(names: Mapping[str, object]) -> dict[str, str | None]:
    """What names mean otherwise than usual, for codes that a set of names gives away."""
    last: dict[str, str] = {}
    for name in names:
        if not NEVER.intersection(_words(name)):
            last.setdefault(_last(name), name)
    for needed, meanings in DIALECTS:
        if needed <= last.keys():
            return {last[short]: signal for short, signal in meanings.items() if short in last}
    return {}


def counter(name: str, names: tuple[str, ...]) -> int | None:
    """How good a name of a step (or of an epoch) it is, 0 being best; None where it is none."""
    short = _last(name).strip("_")
    return names.index(short) if short in names else None


def plain(name: str) -> str:
    """A name without the differences in case and separators that users need not mind."""
    return " ".join(_words(name[:LONGEST]))


def _last(name: str) -> str:
    """The last part of a path of names, without what Lightning and StyleGAN put behind it."""
    short = re.split(r"[/ ]", name[-LONGEST:].strip())[-1].lower().removesuffix(".mean")
    return short.rpartition(".")[2].removesuffix("_step").removesuffix("_epoch") or short


def _words(name: str) -> list[str]:
    found = []
    for run in _WORDS.findall(name):
        for word in _CAMEL.split(run):
            lower = word.lower()
            glued = _LOSS_WORD.fullmatch(lower)
            found += [lower] if glued is None else [glued[1], glued[2]]
    return found


def _meanings(words: list[str]) -> frozenset[str]:
    joined = " ".join(words).replace("learning rate", "lr").split()
    return frozenset(MEANINGS.get(word, word) for word in joined) - {""}


def _signal(words: frozenset[str], *, whole: bool) -> tuple[str, int] | None:
    if not words:
        return None
    found = _TABLE.get(words)
    if found is not None:
        return found if whole or len(words) > 1 or "lr" in words else None
    if "lambda" in words:
        term = _TABLE.get(words - {"lambda"})
        return (f"lambda_{term[0]}", 0) if term is not None and term[0] in {"adv", *TERMS, *BESIDE} else None
    return None


def _table() -> dict[frozenset[str], tuple[str, int]]:
    made: dict[frozenset[str], tuple[str, int]] = {}
    for signal, names in NAMES.items():
        for place, name in enumerate(names):
            made.setdefault(frozenset(name.replace("?", "").split()), (signal, place))
            if "loss?" in name:
                made.setdefault(frozenset(name.split()) - {"loss?"}, (signal, place))
    for terms, alone in ((TERMS, True), (BESIDE, False)):
        for signal, names in terms.items():
            for place, name in enumerate(names):
                words = frozenset(name.split())
                for beside in ({"loss"}, {"g"}, {"g", "loss"}, *((set(),) if alone else ())):
                    made.setdefault(words | beside, (signal, place))
    return made


_TABLE: Final = _table()
