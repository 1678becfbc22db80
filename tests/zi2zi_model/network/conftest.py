"""What tests of networks share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.zi2zi_runs import SMALL, TWO_STYLES, arguments, call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two styles in a table of four, with networks that are not the defaults."""
    run = tmp_path_factory.mktemp("base") / "run"
    networks: dict[str, Any] = {"decoder": "transposed", "norm": "batch", "styles": 4, "style_dim": 24, "lambda_l1": 50}
    call(*arguments(run, 4, **{**SMALL, **TWO_STYLES, **networks}))
    return run
