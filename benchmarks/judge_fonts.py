"""The Debian fonts that the judges are trained on and measured with, and their glyphs as pictures."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zi2zi_model.data.font import Font
from zi2zi_model.data.glyphs import Pixels, draw_glyph
from zi2zi_model.data.placement import centre_in_frame
from zi2zi_model.judges.judge import SIDE

FONTS = Path("/usr/share/fonts")


class Face(NamedTuple):
    """A font: its file, the Debian package it is from, and its licence."""

    file: str
    package: str
    licence: str


OFL, ARPHIC, IPA = "OFL-1.1", "Arphic Public License", "IPA Font License"
TRAINED = (
    Face("opentype/noto/NotoSansCJK-Regular.ttc:3", "fonts-noto-cjk", OFL),
    Face("opentype/noto/NotoSansCJK-Light.ttc:3", "fonts-noto-cjk-extra", OFL),
    Face("opentype/noto/NotoSansCJK-Black.ttc:2", "fonts-noto-cjk-extra", OFL),
    Face("opentype/noto/NotoSerifCJK-Regular.ttc:3", "fonts-noto-cjk", OFL),
    Face("opentype/noto/NotoSerifCJK-Bold.ttc:2", "fonts-noto-cjk", OFL),
    Face("truetype/arphic/uming.ttc", "fonts-arphic-uming", ARPHIC),
    Face("truetype/arphic/ukai.ttc", "fonts-arphic-ukai", ARPHIC),
    Face("truetype/arphic-bsmi00lp/bsmi00lp.ttf", "fonts-arphic-bsmi00lp", ARPHIC),
    Face("truetype/arphic-bkai00mp/bkai00mp.ttf", "fonts-arphic-bkai00mp", ARPHIC),
    Face("truetype/lxgw-wenkai/LXGWWenKai-Regular.ttf", "fonts-lxgw-wenkai", OFL),
    Face("truetype/lxgw-wenkai/LXGWWenKai-Bold.ttf", "fonts-lxgw-wenkai", OFL),
    Face("opentype/ipaexfont-gothic/ipaexg.ttf", "fonts-ipaexfont-gothic", IPA),
    Face("opentype/ipaexfont-mincho/ipaexm.ttf", "fonts-ipaexfont-mincho", IPA),
    Face("truetype/vlgothic/VL-Gothic-Regular.ttf", "fonts-vlgothic", "BSD-style (VL Gothic, M+)"),
    Face("truetype/hanazono/HanaMinA.ttf", "fonts-hanazono", "OFL-1.1 or its own free licence"),
    Face("truetype/seto/setofont.ttf", "fonts-seto", OFL),
    Face("truetype/kouzan-mouhitsu/kouzan-mouhitsu.ttf", "fonts-kouzan-mouhitsu", "public domain"),
    Face("truetype/kouzan-mouhitsu/kouzan-mouhitsu-gyosho.ttf", "fonts-kouzan-mouhitsu", "public domain"),
    Face("truetype/aoyagi-soseki/aoyagi-soseki.ttf", "fonts-aoyagi-soseki", "public domain"),
)
# Never trained on by either judge.
UNSEEN = (
    Face("truetype/droid/DroidSansFallbackFull.ttf", "fonts-droid-fallback", "Apache-2.0"),
    Face("truetype/motoya-l-maruberi/MTLmr3m.ttf", "fonts-motoya-l-maruberi", "Apache-2.0"),
    Face("truetype/motoya-l-cedar/MTLc3m.ttf", "fonts-motoya-l-cedar", "Apache-2.0"),
    Face("truetype/kiloji/kiloji.ttf", "fonts-kiloji", "BSD-style"),
)


class Glyphs(NamedTuple):
    """Pictures (n, 64, 64), and for each the number of its font and of its character."""

    pictures: Pixels
    font: np.ndarray[Any, np.dtype[np.int64]]
    character: np.ndarray[Any, np.dtype[np.int64]]

    def where(self, keep: Any) -> Glyphs:
        """Those that `keep` selects."""
        return Glyphs(*(part[keep] for part in self))


def draw_all(faces: Sequence[Face], characters: Sequence[str]) -> Glyphs:
    """Every character that each face draws, as the framework draws its source: centred, the mean box at 3/4."""
    pictures, fonts, numbers = [], [], []
    place = {character: number for number, character in enumerate(characters)}
    for index, face in enumerate(faces):
        font = Font(FONTS / face.file)
        usable = font.usable(characters)
        placement = centre_in_frame(font.mean_box(usable))
        for character in usable:
            pictures.append(draw_glyph(font, character, SIDE, placement))
            fonts.append(index)
            numbers.append(place[character])
    return Glyphs(np.stack(pictures), np.array(fonts), np.array(numbers))


def version(package: str) -> str:
    """A Debian package's version."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
