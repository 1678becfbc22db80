"""Scripts that name modules by their old places still run, and are told the new ones."""

import importlib
import sys

import pytest

from zi2zi_model.data import charsets, font, glyphs, placement


@pytest.mark.parametrize(
    ("old", "said", "homes"),
    [
        ("charsets", r"zi2zi_model\.data\.charsets", [charsets]),
        ("glyphs", r"zi2zi_model\.data\.font, \.glyphs and \.placement", [font, glyphs, placement]),
    ],
)
def test_an_old_module_gives_what_it_held_and_names_the_new_place(old: str, said: str, homes: list[object]) -> None:
    sys.modules.pop(f"zi2zi_model.{old}", None)
    with pytest.warns(DeprecationWarning, match=said):
        module = importlib.import_module(f"zi2zi_model.{old}")
    for name in module.__all__:
        now = {"meet": "align_to_source"}.get(name, name)
        assert any(getattr(home, now, None) is getattr(module, name) for home in homes), name
