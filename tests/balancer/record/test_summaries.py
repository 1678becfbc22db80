"""What TensorBoard is shown is what torch's own writer would have shown it, without torch; text is shown as it is."""

from __future__ import annotations

import math
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch.utils.tensorboard import summary as torch_summary

from balancer.contract.levels import HEALTHY_D_ADV
from balancer.record import summaries
from balancer.record.tensorboard import layout

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of what TensorBoard brings along
    from tensorboard.plugin_util import markdown_to_safe_html


@pytest.mark.parametrize("value", [0.25, 1e300, math.inf, math.nan])
def test_a_number(value: float) -> None:
    expected = torch_summary.scalar("signal/d_adv", value)
    assert summaries.scalar("signal/d_adv", value).SerializeToString() == expected.SerializeToString()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_picture(mode: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 8, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels).convert(mode)
    expected = torch_summary.image("sheet", np.asarray(picture.convert("RGB")), dataformats="HWC")
    assert summaries.image("sheet", picture) == expected


def test_settings_and_the_tags_that_compare_runs() -> None:
    settings = {"train.lr": 2e-4, "train.seed": 3, "model.head": True, "train.device": "cpu"}
    expected = torch_summary.hparams(settings, {"loss/g_loss": None})
    assert summaries.hparams(settings, ["loss/g_loss"]) == list(expected)


def test_the_layout() -> None:
    charts = layout(HEALTHY_D_ADV)
    assert summaries.layout(charts) == torch_summary.custom_scalars(charts)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(line: str) -> _Text:
    """What TensorBoard makes of a text."""
    (value,) = summaries.text("notes/audit", line).value
    assert value.metadata.plugin_data.plugin_name == "text"
    page = _Text()
    page.feed(markdown_to_safe_html(value.tensor.string_val[0]))
    page.close()
    return page


@pytest.mark.parametrize(
    "line",
    [
        "pass optimizers={'d': [a, b]} and list `lr_d` in obeys",
        "# no heading",
        "1. no list",
        "- no list",
        "*a* __init__ _b_ ![c](d) <script>e</script> &amp; | f | <http://g.h>",
        "~~~ and ``` no code",
        "back\\slash \\* at the end \\",
    ],
)
def test_a_text_is_shown_as_it_is(line: str) -> None:
    page = rendered(line)
    assert page.text.strip() == line
    assert page.tags == {"p"}


def test_a_text_of_several_lines_is_one() -> None:
    assert rendered("first\n\n    second\n| a | b |\n|---|---|\n").text.strip() == "first second | a | b | |---|---|"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=60))
def test_any_text_is_shown_as_it_is(line: str) -> None:
    page = rendered(line)
    assert page.text.split() == line.split()
    assert page.tags <= {"p"}
