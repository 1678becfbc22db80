"""Known training codes: what gives their logs away, and what these logs say, as tables that families bring."""

from __future__ import annotations

import functools
import re
import tomllib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator

from balancer.contract.boundary import described
from balancer.contract.input_files import MOST_TOML_BYTES, read_input
from balancer.contract.make import first_error
from balancer.contract.settings import Settings
from balancer.errors import PluginError
from balancer.reading.tags import endings, plain

OURS: Final = Path(__file__).parent / "codes.toml"
VALIDATION: Final = frozenset({"val", "valid", "validation", "eval", "evaluation", "test", "dev"})
LONGEST_LINE: Final = 2000  # of a line, so much is held against a print format
Weight = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0)]


class Code(Settings):
    """One training code: how its logs are known, in which units they stand, what its authors call healthy.

    `names` are what its log holds: one of each group, as names or ends of names (`G_GAN` is one of `train/G_GAN`);
    with `line`, a regular expression, one of the log's first lines must have that form too. A code without `names` is
    known by the lines that its `pattern` reads (and by `line`), by its family's own parser, or only where the user
    names it. Levels of `healthy` are those of `d_adv`, at chance ln 2.
    """

    name: str = Field(pattern="[a-z0-9][a-z0-9-]*")
    title: str = Field(description="which code and which of its models")
    source: str = Field(description="where its losses are defined and printed", pattern="https://.+")
    names: list[list[str]] = Field([], description="groups of names, of each of which the log holds one")
    without: list[str] = Field([], description="names that the log of another code holds beside these")
    line: str | None = Field(None, description="what one of its lines looks like")
    parsed: bool = Field(False, description="whether its family's own parser knows it, so that it has no names here")
    pattern: str | None = Field(None, description="a regular expression of figures without names")
    reads: dict[str, str] = Field({}, description="signals by name, where names mean something else; '' for none")
    losses: list[str] = Field([], description="the adversarial losses that it has, its default first")
    d_loss: Literal["mean", "sum", "unknown"] = Field("unknown", description="what d_loss is of its two halves")
    discriminators: int = Field(1, ge=1, description="how many discriminators are added up, unless its config says so")
    d_weight: Weight = Field(
        1.0, description="by what d_loss, or each of its halves, is multiplied before it is printed"
    )
    category_inside: bool = Field(False, description="whether d_loss holds a loss of classes too")
    levels: bool = Field(True, description="whether D's loss has levels in these units")
    weighted: dict[str, Weight] = Field({}, description="terms that are printed multiplied, and by how much")
    configured: list[str] = Field([], description="terms that are printed multiplied by a weight of its config")
    weights: dict[str, Share] = Field({}, description="what terms weigh that are printed raw; 0 inside another one")
    healthy: tuple[float, float] | None = Field(None, description="the range of d_adv that is called healthy")
    healthy_source: str = Field("", description="who calls it so")
    flags: dict[str, str] = Field({}, description="remedies, and how this code does them")

    @field_validator("line", "pattern")
    @classmethod
    def _is_a_pattern(cls, given: str | None) -> str | None:
        try:
            re.compile(given or "")
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
        return given

    @model_validator(mode="after")
    def _has_a_source(self) -> Code:
        if self.healthy is not None and not (self.healthy[0] < self.healthy[1] and self.healthy_source):
            raise ValueError("a healthy range is (low, high), and has a source")
        return self

    def fits(self, known: frozenset[str], lines: Sequence[str]) -> bool:
        """Whether a log with these names, in words, and with these first lines is one of this code."""
        if not self.names or any(_key(name) in known for name in self.without):
            return False
        if not all(any(_key(name) in known for name in group) for group in self.names):
            return False
        return self.is_on(lines)

    def is_on(self, lines: Sequence[str]) -> bool:
        """Whether a line has the form that one of its log has."""
        return self.line is None or any(re.search(self.line, line[:LONGEST_LINE]) for line in lines)


def recognised(names: Iterable[str], lines: Sequence[str], codes: Iterable[Code]) -> Code | None:
    """The code whose log holds these names: of several the one that asks for most."""
    known = frozenset(_key(end) for name in names if not _is_validation(name) for end in endings(name))
    found = [code for code in codes if code.fits(known, lines)]
    return max(found, key=lambda code: (len(code.names), code.line is not None), default=None)


def meanings(code: Code, names: Iterable[str]) -> dict[str, str | None]:
    """What names of its log mean otherwise than usual; of several for one signal the first in its table counts."""
    words = [_key(name) for name in code.reads]
    meant: dict[str, str] = {}
    for name in names:
        if not _is_validation(name):
            word = next((_key(end) for end in endings(name) if _key(end) in words), None)
            if word is not None:
                meant[name] = word
    first: dict[str, str] = {}
    for word, signal in zip(words, code.reads.values(), strict=True):
        if word in meant.values():
            first.setdefault(signal, word)
    signals = dict(zip(words, code.reads.values(), strict=True))
    return {name: signals[word] or None if first[signals[word]] == word else None for name, word in meant.items()}


def our_codes() -> Mapping[str, Code]:
    """The codes of our own table, by name."""
    return read_codes(OURS)


@functools.cache
def read_codes(path: Path) -> Mapping[str, Code]:
    """The codes in a TOML file: a table for each, by its name.

    Raises:
        PluginError: it cannot be read, or a table is not in this form.
    """
    try:
        tables = tomllib.loads(read_input(path, MOST_TOML_BYTES).decode("utf-8"))
        return {name: _CODE.validate_python({"name": name, **table}) for name, table in tables.items()}
    except ValidationError as error:
        raise PluginError(f"codes {path.name}: {first_error(error, 'codes', Code)}") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise PluginError(f"codes {path.name} cannot be read: {described(error)}") from None


def known_codes(tables: Mapping[str, Path | None]) -> dict[str, Code]:
    """Our codes and those that families bring, by name; a table that cannot be read is left out with a warning."""
    found = dict(our_codes())
    for family, path in tables.items():
        if path is None:
            continue
        try:
            found |= {name: code for name, code in read_codes(path).items() if name not in found}
        except PluginError as error:
            warnings.warn(f"diagnosis {family}: {error}; its logs are read without it", stacklevel=2)
    return found


def _key(name: str) -> str:
    """A name as it is compared: exactly, but for capitals and blanks."""
    return " ".join(name.lower().split())


def _is_validation(name: str) -> bool:
    return bool(VALIDATION.intersection(plain(name).split()))


_CODE: Final = TypeAdapter(Code)
