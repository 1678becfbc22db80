"""What scripts written for an earlier release still import."""

import importlib
import sys

import pytest

from balancer.train import progress


def test_the_former_module_names_the_new_one() -> None:
    sys.modules.pop("balancer.progress", None)
    with pytest.warns(DeprecationWarning, match=r"balancer\.train\.progress"):
        former = importlib.import_module("balancer.progress")
    assert former.Progress is progress.Progress
