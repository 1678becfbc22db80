"""Presets, what overrides them, and the combinations that are refused."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from zi2zi_model.defaults import PRESETS
from zi2zi_model.settings import Zi2ziSettings


def test_importing_the_settings_does_not_import_torch():
    code = "import sys, zi2zi_model.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_arguments_it_is_the_tiny_preset():
    settings = Zi2ziSettings()
    assert (settings.preset, settings.image_size, settings.attention) == ("tiny", 64, "none")
    assert (settings.lambda_l1, settings.lambda_const, settings.lambda_category) == (100, 15, 1)


def test_a_preset_gives_defaults():
    zi2zi = Zi2ziSettings(preset="zi2zi")
    assert zi2zi.level_channels == (64, 128, 256, 512, 512, 512, 512)
    assert (zi2zi.decoder, zi2zi.norm, zi2zi.skips) == ("pixelshuffle", "instance", "add")
    assert (zi2zi.styles, zi2zi.style_dim) == (40, 128)
    classic = Zi2ziSettings(preset="classic")
    assert (classic.image_size, classic.downs) == (256, 8)
    assert (classic.decoder, classic.norm, classic.skips) == ("transposed", "batch", "concat")


@pytest.mark.parametrize("preset", PRESETS)
def test_an_explicit_value_beats_the_preset(preset):
    changed = {"styles": 3, "dropout": 0.25, "norm": "instance", "style_dim": 7, "downs": 6, "max_channels": 64}
    settings = Zi2ziSettings(preset=preset, **changed)
    assert settings.model_dump(include=changed.keys()) == changed


@pytest.mark.parametrize("preset", PRESETS)
def test_an_explicit_value_beats_the_preset_even_where_it_is_the_class_default(preset):
    defaults = {name: Zi2ziSettings.model_fields[name].default for name in ("image_size", "downs", "attention")}
    settings = Zi2ziSettings(preset=preset, **defaults)
    assert settings.model_dump(include=defaults.keys()) == defaults


@pytest.mark.parametrize("preset", PRESETS)
def test_settings_survive_being_written_and_read(preset):
    settings = Zi2ziSettings(preset=preset, image_size=128, downs=6, targets="a.ttf,b.ttc:1")
    assert Zi2ziSettings.model_validate_json(settings.model_dump_json()) == settings


def test_every_field_has_a_description():
    assert [name for name, field in Zi2ziSettings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize("targets", ["a.ttf, b.ttc:2,", ["a.ttf", "b.ttc:2"]])
def test_targets_are_a_list_or_comma_separated(targets):
    assert Zi2ziSettings(targets=targets).targets == (Path("a.ttf").absolute(), Path("b.ttc:2").absolute())


@pytest.mark.parametrize(
    ("attention", "levels"),
    [("none", ()), ("deep", (5, 7)), ("middle", (3, 4)), ("5", (5,)), (5, (5,)), ("4, 3", (3, 4)), ([3, 4], (3, 4))],
)
def test_attention_by_name_or_by_level(attention, levels):
    assert Zi2ziSettings(preset="zi2zi", attention=attention).attention_levels == levels


def test_deep_attention_follows_the_number_of_levels():
    assert Zi2ziSettings(preset="zi2zi", image_size=256, downs=8).attention_levels == (5, 8)
    assert Zi2ziSettings(attention="deep", downs=5).attention_levels == (5,)
    assert Zi2ziSettings(attention="deep", downs=4).attention_levels == (4,)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"image_size": 100, "downs": 5}, "image_size 100 cannot be halved 5 times.*use an image_size that 32 divides"),
        ({"image_size": 96, "downs": 6}, "image_size 96 cannot be halved 6 times.*use downs = 5 at most"),
        ({"preset": "zi2zi", "image_size": 64}, "use downs = 6 at most"),
        ({"g_channels": 64, "max_channels": 32}, r"max_channels \(32\) is below g_channels \(64\)"),
        ({"attention": "6", "downs": 5}, "each must be one of the 5 levels"),
        ({"attention": "middle", "downs": 3}, "each must be one of the 3 levels"),
        ({"attention": "3,3"}, "once"),
        ({"attention": "1024"}, "neither none, deep, middle nor a list of levels"),
        ({"styles": 1, "targets": "a.ttf,b.ttf"}, "2 targets need styles of at least 2, not 1"),
        ({"pairs": "images", "targets": "a.ttf"}, "leave out source and targets, or pairs"),
        ({"pairs": "images", "source": "a.ttf"}, "leave out source and targets, or pairs"),
        ({"preset": "huge"}, "preset"),
        ({"preset": 3}, "preset"),
        ({"channels": 2}, "channels"),
        ({"held_out": 1.0}, "held_out"),
        ({"lambda_l1": float("nan")}, "lambda_l1"),
        ({"learning_rate": 1e-3}, "learning_rate"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(given, message):
    with pytest.raises(ValidationError, match=message):
        Zi2ziSettings(**given)


def test_a_dropout_that_would_do_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"dropout 0\.5 would do nothing"):
        Zi2ziSettings(dropout=0.5)
    assert Zi2ziSettings(dropout=0.5, downs=6, max_channels=64).dropout == 0.5


@pytest.mark.parametrize(("named", "meant"), [("512", "deep"), (512, "deep"), ("256", "middle"), (256, "middle")])
def test_attention_by_the_source_documents_channel_counts(named: object, meant: str) -> None:
    settings = Zi2ziSettings(preset="zi2zi", attention=named)
    assert settings.attention_levels == Zi2ziSettings(preset="zi2zi", attention=meant).attention_levels
    with pytest.raises(ValidationError, match="no level has that many channels"):
        Zi2ziSettings(attention=named)
