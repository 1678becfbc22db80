"""All rules that hold for any GAN; levels are those of the source document. Families of codes add their own."""

from __future__ import annotations

from typing import Final

from balancer.diagnosis import d_rules, g_rules, log_rules
from balancer.diagnosis.finding import NamedRule

RULES: Final[tuple[NamedRule, ...]] = (*d_rules.RULES, *g_rules.RULES, *log_rules.RULES)
