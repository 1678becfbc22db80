"""The old place of `below_least`, for one release."""

from balancer.diagnosis.units import below_least

__all__ = ["below_least"]
