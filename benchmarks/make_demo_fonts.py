"""Makes the embedded demo fonts: subsets of free fonts, small, unhinted, renamed, with their licence inside.

Run it where Debian's packages fonts-droid-fallback, fonts-motoya-l-maruberi and fonts-cns11643-kai are installed:

    python benchmarks/make_demo_fonts.py [--fonts /usr/share/fonts/truetype] [--out zi2zi_model/fonts]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from zi2zi_model.data.charsets import choose, load_charset

APACHE = ("Licensed under the Apache License, Version 2.0", "https://www.apache.org/licenses/LICENSE-2.0")
OPEN_DATA = (
    "Open Government Data License, version 1.0 (Taiwan), compatible with CC BY 4.0",
    "https://data.gov.tw/license",
)
SIMPLE = slice(120, 1300)  # of Big5 level 1, which is in the order of strokes: those with 4 to 9
SIMPLE_COUNT = 640

COPYRIGHT, FAMILY, STYLE, UNIQUE_ID, FULL_NAME, VERSION, POSTSCRIPT, DESCRIPTION, LICENCE, LICENCE_URL = (
    0, 1, 2, 3, 4, 5, 6, 10, 13, 14,
)  # fmt: skip


@dataclass(frozen=True)
class DemoFont:
    """One embedded font: its file name, where it comes from, and what its licence requires to be said."""

    name: str
    origin: str
    family: str  # a name of our own: "Droid" is a trademark
    copyright: str
    licence: tuple[str, str]
    characters: tuple[str, ...] = load_charset("demo")


DEMO_FONTS = (
    DemoFont(
        "source.ttf",
        "droid/DroidSansFallbackFull.ttf",
        "Balancer Demo Source",
        "Digitized data copyright Google Corporation © 2006",
        APACHE,
    ),
    DemoFont(
        "target.ttf",
        "motoya-l-maruberi/MTLmr3m.ttf",
        "Balancer Demo Target",
        "Copyright(C)2010 MOTOYA CO.,LTD.",
        APACHE,
    ),
)
# What `make demo` draws: simple characters, whose structure a G of minutes can learn.
KAI = choose(load_charset("big5-1")[SIMPLE], SIMPLE_COUNT)
KAI_FONTS = (
    replace(DEMO_FONTS[0], name="kai_source.ttf", family="Balancer Kai Demo Source", characters=KAI),
    DemoFont(
        "kai_target.ttf",
        "cns11643/TW-Kai-98_1.ttf",
        "Balancer Kai Demo Target",
        "Copyright 2015 National Development Council, Taiwan: TW-Kai",
        OPEN_DATA,
        KAI,
    ),
)


def make(font: DemoFont, fonts: Path, out: Path) -> Path:
    """Writes one embedded font, the same bytes every time; returns its path."""
    options = Options(
        hinting=False,
        layout_features=[],
        notdef_outline=True,
        glyph_names=False,
        legacy_cmap=False,
        recalc_timestamp=False,
        drop_tables=["GSUB", "GPOS", "GDEF", "BASE", "mort", "vhea", "vmtx", "gasp", "DSIG", "FFTM"],
    )
    # The time inside stays the original's, so that the same fonts give the same bytes.
    original = TTFont(fonts / font.origin, recalcTimestamp=False)
    subsetter = Subsetter(options)
    subsetter.populate(text="".join(font.characters))
    subsetter.subset(original)
    names = original["name"]
    names.names = []
    postscript = font.family.replace(" ", "") + "-Regular"
    for number, text in (
        (COPYRIGHT, font.copyright),
        (FAMILY, font.family),
        (STYLE, "Regular"),
        (UNIQUE_ID, postscript),
        (FULL_NAME, font.family),
        (VERSION, "Version 1.0"),
        (POSTSCRIPT, postscript),
        (DESCRIPTION, "Modified: subset, hints and layout features removed, renamed. See LICENSES.md."),
        (LICENCE, font.licence[0]),
        (LICENCE_URL, font.licence[1]),
    ):
        names.setName(text, number, platformID=3, platEncID=1, langID=0x409)
    path = out / font.name
    original.save(path)
    return path


def main() -> None:
    """Makes every font and prints its size."""
    parser = argparse.ArgumentParser(description="make the embedded demo fonts")
    parser.add_argument("--fonts", type=Path, default=Path("/usr/share/fonts/truetype"), help="where the originals are")
    parser.add_argument("--out", type=Path, default=Path("zi2zi_model/fonts"), help="where the subsets go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "kai.txt").write_text("".join(KAI) + "\n", encoding="utf-8")
    for font in (*DEMO_FONTS, *KAI_FONTS):
        path = make(font, arguments.fonts, arguments.out)
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
