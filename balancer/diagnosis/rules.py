"""All rules that hold for any GAN; levels are those of the source document. Families of codes add their own."""

from __future__ import annotations

from typing import Final

from balancer.diagnosis import d_rules, d_sign_rules, g_rules, log_rules
from balancer.diagnosis.finding import NamedRule

# Whatever `@rule` made in these files, in the order in which it stands there.
RULES: Final = tuple(
    found
    for file in (d_rules, d_sign_rules, g_rules, log_rules)
    for found in vars(file).values()
    if isinstance(found, NamedRule)
)
