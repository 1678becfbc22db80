"""What drawing costs: seconds per thousand glyphs, by step of the way from a run to pictures and a font.

    python benchmarks/inference_cost.py [--glyphs 256]

The networks are untrained, which does not change their cost; the glyphs are the embedded ones. One thread.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from zi2zi_model.data.charsets import load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.font_data import EMBEDDED_SOURCE
from zi2zi_model.data.glyphs import draw_glyph, reframe
from zi2zi_model.data.picture_files import png, write
from zi2zi_model.data.placement import EM_BOX, centre_in_frame
from zi2zi_model.drawing.font_file import font_bytes
from zi2zi_model.drawing.outlines import Outline, trace
from zi2zi_model.network.model import DRAWN_AT_ONCE, draw
from zi2zi_model.network.networks import Generator
from zi2zi_model.settings import Zi2ziSettings


def measure(preset: str, count: int, font: Font) -> None:
    """Time each step with one preset and print seconds per 1,000 glyphs."""
    settings = Zi2ziSettings(preset=preset)
    size, characters = settings.image_size, load_charset("demo")[:count]
    placement = centre_in_frame(font.mean_box(characters))
    torch.manual_seed(0)
    generator = Generator(settings).eval()
    styles = torch.zeros(count, dtype=torch.int64)

    def timed(name: str, work: Callable[[], object]) -> None:
        began = time.perf_counter()
        work()
        seconds = (time.perf_counter() - began) / count * 1000
        print(f"{preset:<8} {size:>4} px  {name:<24} {seconds:>8.1f} s per 1,000 glyphs", flush=True)

    sources = np.stack([draw_glyph(font, c, size, placement) for c in characters])
    outlines: dict[str, Outline] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)

        def pictures() -> None:
            for number, glyph in enumerate(sources):
                write(out / f"{number}.png", png(reframe(glyph, placement, EM_BOX, size)))

        def trace_all() -> None:
            outlines.update({c: trace(glyph, placement) for c, glyph in zip(characters, sources, strict=True)})

        timed("source glyphs", lambda: [draw_glyph(font, c, size, placement) for c in characters])
        timed("generator", lambda: draw(generator, sources, styles, settings.channels))
        timed("pictures in the em box", pictures)
        timed("outlines", trace_all)
        timed("font file", lambda: (out / "a.ttf").write_bytes(font_bytes(outlines, family="A")))


def main() -> None:
    """Time the presets."""
    parser = argparse.ArgumentParser(description="seconds per thousand glyphs")
    parser.add_argument("--glyphs", type=int, default=256, help="how many are drawn with the tiny preset")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    font = Font(EMBEDDED_SOURCE)
    measure("tiny", arguments.glyphs, font)
    for preset in ("classic", "zi2zi"):
        measure(preset, DRAWN_AT_ONCE, font)


if __name__ == "__main__":
    main()
