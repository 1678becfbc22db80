"""What is wrong with a run, from its log: readers turn logs into a history, rules turn a history into findings.

The names below are what an extension for another family of training codes is written with, as
`docs/extending-the-diagnosis.md` shows. They are imported on first use; none of them imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from balancer.diagnosis.extension import Extension
    from balancer.diagnosis.finding import Case, Confidence, Finding, Structure, rule
    from balancer.diagnosis.trends import curve, trend
    from balancer.diagnosis.units import Units, below_least, g_terms, implied_adv, least_adv
    from balancer.reading.families import LineParser
    from balancer.reading.history import History
    from balancer.reading.series import Series
    from balancer.reading.source import Fact, Source

__all__ = [
    "Case",
    "Confidence",
    "Extension",
    "Fact",
    "Finding",
    "History",
    "LineParser",
    "Series",
    "Source",
    "Structure",
    "Units",
    "below_least",
    "curve",
    "g_terms",
    "implied_adv",
    "least_adv",
    "rule",
    "trend",
]

_HOME = {
    "Case": "diagnosis.finding",
    "Confidence": "diagnosis.finding",
    "Extension": "diagnosis.extension",
    "Fact": "reading.source",
    "Finding": "diagnosis.finding",
    "History": "reading.history",
    "LineParser": "reading.families",
    "Series": "reading.series",
    "Source": "reading.source",
    "Structure": "diagnosis.finding",
    "Units": "diagnosis.units",
    "below_least": "diagnosis.units",
    "curve": "diagnosis.trends",
    "g_terms": "diagnosis.units",
    "implied_adv": "diagnosis.units",
    "least_adv": "diagnosis.units",
    "rule": "diagnosis.finding",
    "trend": "diagnosis.trends",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'balancer.diagnosis' has no attribute {name!r}")
    return getattr(import_module(f"balancer.{_HOME[name]}"), name)
