"""A data set of others under a right seal, whatever its manifest and its arrays are, is used or refused by name."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from faults.hostile.picture_cases import of_data_set, wrong_data_sets

from balancer.errors import DataError
from zi2zi_model.data import dataset
from zi2zi_model.data.build import build_data
from zi2zi_model.data.report import inspect


def test_whatever_a_sealed_data_set_holds_it_is_used_or_refused_by_name(tmp_path: Path) -> None:
    bases: Any = SimpleNamespace(data=tmp_path / "good")
    build_data(bases.data, max_characters=12, held_out=0.3)
    wrong, refused, work = [], 0, tmp_path / "work"
    for what, change in wrong_data_sets():
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        of_data_set(bases, what, change).lay(work)
        try:
            inspect(work / "data")
            data = dataset.load(work / "data")
            data.batch(data.train_items)
            data.batch(data.held_out_items)
        except DataError as error:
            refused += 1
            if "work/data" not in str(error):
                wrong.append(f"{what}: {error}")
        except Exception as error:
            wrong.append(f"{what}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)
    assert refused > 60
