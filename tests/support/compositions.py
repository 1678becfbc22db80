"""Laws of a line each, composed for a host of ours or somebody else's."""

from collections.abc import Mapping
from typing import Any

import pytest

from balancer import Balancer, HeadSpec, ModelSpec, Plugin
from balancer.contract.compose import Composition, compose
from balancer.contract.host import Host, model_host
from balancer.errors import CompositionError

SPEC = ModelSpec(
    weights={"l1": 100.0},
    d_terms=("category",),
    heads={"category": HeadSpec(("category",))},
    features=True,
    conditional=True,
)
HOST = model_host("toy", SPEC, lambda_adv=1.0)


def law(name: str, **attributes: Any) -> type[Plugin]:
    """A plugin class that declares these things and does nothing."""
    return type(name.title(), (Plugin,), {"name": name, **attributes})


def composed(
    *plugins: str | type[Plugin], settings: Mapping[str, Mapping[str, Any]] | None = None, host: Host = HOST
) -> Composition:
    return compose(plugins, settings, host=host)


def names(composition: Composition) -> list[str]:
    return [plugin.name for plugin in composition.plugins]


def refused(*plugins: str | type[Plugin], **options: Any) -> str:
    with pytest.raises(CompositionError) as caught:
        composed(*plugins, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def foreign(*plugins: str | type[Plugin], **options: Any) -> Balancer:
    return Balancer(list(plugins), **options)
