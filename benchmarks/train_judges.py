"""Trains the two judges of drawn glyphs on free fonts and measures them; writes weights and a record of both.

Run it where these Debian packages are installed: fonts-noto-cjk, fonts-noto-cjk-extra, fonts-arphic-uming,
fonts-arphic-ukai, fonts-arphic-bsmi00lp, fonts-arphic-bkai00mp, fonts-lxgw-wenkai, fonts-ipaexfont,
fonts-vlgothic, fonts-kouzan-mouhitsu, fonts-aoyagi-soseki, fonts-seto, fonts-kiloji, fonts-hanazono,
fonts-droid-fallback, fonts-motoya-l-maruberi, fonts-motoya-l-cedar:

    python benchmarks/train_judges.py content
    python benchmarks/train_judges.py style
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageFilter
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import write_atomically
from zi2zi_model.data.charsets import choose, load_charset
from zi2zi_model.data.font import Font
from zi2zi_model.data.glyphs import Pixels, draw_glyph
from zi2zi_model.data.placement import centre_in_frame
from zi2zi_model.judging.judges import JUDGES, RECORD, SIDE, WEIGHTS, to_judge

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
CHARACTERS, UNSEEN_CHARACTERS = 2400, 500
SEED, THREADS = 0, 1
BATCH = {"content": 128, "style": 64}
STEPS = {"content": 1800, "style": 1000}
SCALE = 20.0  # of the cosine in the content judge's softmax


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


def affine(ink: Tensor) -> Tensor:
    """Ink turned, sheared, scaled and shifted at random, and thicker or thinner or blurred."""
    n = len(ink)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = 1 + 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, 1, 1] = 1 + 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, 0, 1] = 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, 1, 0] = 0.12 * (2 * torch.rand(n) - 1)
    matrix[:, :, 2] = 0.12 * (2 * torch.rand(n, 2) - 1)
    moved = F.grid_sample(ink, F.affine_grid(matrix, [*ink.shape], align_corners=False), align_corners=False)
    blurred = F.avg_pool2d(moved, 3, 1, 1)
    share = torch.rand(n, 1, 1, 1)
    soft = torch.lerp(moved, blurred, share)
    # Around a random threshold, from soft to hard.
    threshold, slope = 0.3 + 0.4 * torch.rand(n, 1, 1, 1), 1 + 3 * torch.rand(n, 1, 1, 1)
    return ((soft - threshold) * slope + threshold).clamp(0, 1)


def shifted(ink: Tensor) -> Tensor:
    """Ink shifted by up to 4 pixels, all of a batch alike."""
    down, across = torch.randint(-4, 5, (2,)).tolist()
    return torch.roll(ink, (down, across), (2, 3))


def train(judge: str, network: nn.Module, glyphs: Glyphs, classes: int) -> None:
    """Cross-entropy: of the character by the cosine of its features, or of the font by a linear layer."""
    torch.manual_seed(SEED)
    width = network(to_judge(glyphs.pictures[:2])).shape[1]
    head = nn.Linear(width, classes, bias=judge == "style")
    labels = torch.from_numpy(glyphs.character if judge == "content" else glyphs.font)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3, weight_decay=1e-2)
    steps = STEPS[judge]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    began = time.perf_counter()
    network.train()
    for step in range(steps):
        chosen = torch.randint(len(labels), (BATCH[judge],))
        ink = to_judge(glyphs.pictures[chosen.numpy()])
        if judge == "content":
            features = network(affine(ink))
            logits = SCALE * features @ F.normalize(head.weight, dim=1).T
        else:
            logits = head(network(shifted(ink)))
        loss = F.cross_entropy(logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}, {time.perf_counter() - began:.0f} s", flush=True)
    network.eval()


def features(network: nn.Module, pictures: Pixels) -> Tensor:
    """Features of pictures, by the network as it will be shipped."""
    with torch.no_grad():
        return torch.cat([network(to_judge(pictures[i : i + 256])) for i in range(0, len(pictures), 256)])


def measure_content(network: nn.Module, characters: Sequence[str], known: int) -> dict[str, float]:
    """Share of glyphs of unseen fonts whose nearest reference in Noto Sans shows the same character, over all.

    References are all characters, known and unseen to training.
    """
    reference = draw_all(TRAINED[:1], characters)
    theirs = features(network, reference.pictures)
    figures = {}
    for face in UNSEEN:
        glyphs = draw_all([face], characters)
        nearest = reference.character[(features(network, glyphs.pictures) @ theirs.T).argmax(1).numpy()]
        right = nearest == glyphs.character
        name = Path(face.file).name
        figures[f"{name}, characters trained on"] = float(right[glyphs.character < known].mean())
        figures[f"{name}, other characters"] = float(right[glyphs.character >= known].mean())
    return figures


def measure_style(network: nn.Module, unseen: Glyphs, trained: Glyphs) -> tuple[float, dict[str, float]]:
    """The unit of distance, and how far sets of 20 glyphs are in it; all on characters not trained on."""
    means = torch.stack([features(network, trained.pictures[trained.font == f]).mean(0) for f in range(len(TRAINED))])
    count = len(means)
    unit = float(torch.cdist(means, means).sum() / (count * (count - 1)))
    generator = np.random.default_rng(SEED)
    rows: dict[str, list[float]] = {"same font, other characters": [], "same glyphs, blurred": [], "another font": []}
    right = []
    for glyphs, fonts in ((trained, len(TRAINED)), (unseen, len(UNSEEN))):
        for font in range(fonts):
            mine = glyphs.pictures[glyphs.font == font]
            others = glyphs.pictures[glyphs.font == (font + 1) % fonts]
            for _ in range(5):
                order = generator.permutation(len(mine))
                one, two = mine[order[:20]], mine[order[20:40]]
                soft = np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(1))) for p in one])
                other = others[generator.permutation(len(others))[:20]]
                base = features(network, one).mean(0)
                pairs = zip(rows.values(), (two, soft, other), strict=True)
                for values, pictures in pairs:
                    values.append(float((features(network, pictures).mean(0) - base).norm()) / unit)
                if glyphs is trained:
                    nearest = torch.cdist(features(network, one).mean(0, keepdim=True), means).argmin()
                    right.append(int(nearest) == font)
    figures: dict[str, float] = {}
    for name, values in rows.items():
        figures |= {
            f"{name}: mean": float(np.mean(values)),
            f"{name}: least": min(values),
            f"{name}: most": max(values),
        }
    figures["20 glyphs, right font of 19"] = float(np.mean(right))
    return unit, figures


def version(package: str) -> str:
    """A Debian package's version."""
    command = ["dpkg-query", "--show", "--showformat=${Version}", package]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """Train one judge, measure it, write its weights and its part of the record."""
    parser = argparse.ArgumentParser(description="train the judges of drawn glyphs")
    parser.add_argument("judge", choices=[*JUDGES])
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where weights and record go")
    arguments = parser.parse_args()
    judge, out = arguments.judge, arguments.out
    torch.set_num_threads(THREADS)
    torch.manual_seed(SEED)
    pool = choose(dict.fromkeys([*load_charset("big5-1"), *load_charset("gb2312-1")]), CHARACTERS)
    order = np.random.default_rng(SEED).permutation(len(pool))
    characters = [pool[i] for i in order]
    known = len(characters) - UNSEEN_CHARACTERS
    began = time.perf_counter()
    glyphs = draw_all(TRAINED, characters)
    print(f"{len(glyphs.pictures)} glyphs drawn in {time.perf_counter() - began:.0f} s", flush=True)
    network = JUDGES[judge]()
    began = time.perf_counter()
    train(judge, network, glyphs.where(glyphs.character < known), known if judge == "content" else len(TRAINED))
    seconds = time.perf_counter() - began
    # Measured as it will be loaded: from half precision.
    weights = {
        name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()
    }
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    network.eval()
    entry: dict[str, Any] = {
        "command": f"python benchmarks/train_judges.py {judge}",
        "characters": known,
        "characters not trained on": UNSEEN_CHARACTERS,
        "steps": STEPS[judge],
        "batch": BATCH[judge],
        "seed": SEED,
        "threads": THREADS,
        "torch": torch.__version__,
        "seconds": round(seconds),
    }
    if judge == "content":
        entry["measured"] = measure_content(network, characters, known)
    else:
        unseen = draw_all(UNSEEN, characters)
        entry["unit"], entry["measured"] = measure_style(
            network, unseen.where(unseen.character >= known), glyphs.where(glyphs.character >= known)
        )
    data = save(weights)
    path = out / RECORD
    whole = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    whole["fonts"] = [
        {
            "file": face.file,
            "package": f"{face.package} {version(face.package)}",
            "licence": face.licence,
            "trained on": seen,
        }
        for faces, seen in ((TRAINED, True), (UNSEEN, False))
        for face in faces
    ]
    whole[judge] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **entry}
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / f"{judge}.safetensors", data)
    write_atomically(path, json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n")
    print(json.dumps(whole[judge], ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
