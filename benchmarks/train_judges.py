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
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from judge_fonts import TRAINED, UNSEEN, Glyphs, draw_all, version
from judge_pictures import affine, damaged, nuisances, shifted, soft_or_hard
from PIL import Image, ImageFilter
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from balancer import write_atomically
from zi2zi_model.data.charsets import choose, load_charset
from zi2zi_model.data.glyphs import Pixels
from zi2zi_model.judges.distances import frechet, mean_distance, mmd
from zi2zi_model.judges.judge import JUDGES, RECORD, WEIGHTS, to_judge

CHARACTERS, UNSEEN_CHARACTERS = 2400, 500
SEED, THREADS = 0, 1
DISTANCES = {"style distance": mean_distance, "Fréchet distance": frechet, "kernel distance": mmd}
BATCH = {"content": 128, "style": 64}
STEPS = {"content": 1800, "style": 1000}
REFINED = 400  # further steps of the content judge, with damage
SCALE = 20.0  # of the cosine in the content judge's softmax
PRESSED, DAMAGE = 4.0, 1.0  # how much the cosine falls for each share of the ink that is not the character's
# What says nothing of the character; of the style it does, so that its judge sees less of it.
STRONG = {"blur": 1.6, "weight": 1.0, "grey": 0.4}
SLIGHT = {"blur": 0.8, "weight": 0.6, "grey": 0.6}


def train(judge: str, network: nn.Module, glyphs: Glyphs, classes: int) -> None:
    """Cross-entropy: of the character by the cosine of its features, or of the font by a linear layer."""
    torch.manual_seed(SEED)
    width = network(to_judge(glyphs.pictures[:2])).shape[1]
    head = nn.Linear(width, classes, bias=judge == "style")
    labels = torch.from_numpy(glyphs.character if judge == "content" else glyphs.font)

    def loss(ink: Tensor, own: Tensor) -> Tensor:
        if judge == "content":
            logits = SCALE * network(soft_or_hard(affine(ink))) @ F.normalize(head.weight, dim=1).T
        else:
            logits = head(network(nuisances(shifted(ink), **SLIGHT)))
        return F.cross_entropy(logits, own)

    descend(loss, [*network.parameters(), *head.parameters()], 3e-3, STEPS[judge], BATCH[judge], glyphs, labels)
    network.eval()


def refine(network: nn.Module, glyphs: Glyphs, classes: int) -> None:
    """Go on with the content judge by `content_loss`, from the mean features of each character."""
    torch.manual_seed(SEED)
    labels = torch.from_numpy(glyphs.character)
    centres = torch.zeros(classes, 128).index_add_(0, labels, features(network, glyphs.pictures))
    head = nn.Parameter(F.normalize(centres, dim=1))
    network.train()
    parameters = [*network.parameters(), head]
    descend(
        lambda ink, own: content_loss(network, head, ink, own),
        parameters,
        3e-4,
        REFINED,
        BATCH["style"],
        glyphs,
        labels,
    )
    network.eval()


def descend(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    parameters: Sequence[nn.Parameter],
    rate: float,
    steps: int,
    batch: int,
    glyphs: Glyphs,
    labels: Tensor,
) -> None:
    """Steps of AdamW on a loss of ink (n, 1, 64, 64) and its labels, with one cycle of the rate."""
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    began = time.perf_counter()
    for step in range(steps):
        chosen = torch.randint(len(labels), (batch,))
        loss = loss_of(to_judge(glyphs.pictures[chosen.numpy()]), labels[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"step {step}: loss {loss.item():.3f}, {time.perf_counter() - began:.0f} s", flush=True)


def content_loss(network: nn.Module, classes: Tensor, ink: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the character by the cosine of its features with those of all; damage has to lower that cosine.

    It falls by at least `DAMAGE` times the share of the ink that the damage changed: so a cosine tells how much of a
    glyph is as it should be, whatever its weight, blur and grey.
    """
    moved = affine(ink)
    spoilt, changed = damaged(moved, moved.roll(1, 0))
    both = network(nuisances(torch.cat([moved, spoilt]), **STRONG))
    whole, broken = (both @ F.normalize(classes, dim=1).T).chunk(2)
    own = labels[:, None]
    fallen = whole.gather(1, own).detach()[:, 0] - broken.gather(1, own)[:, 0]
    return F.cross_entropy(SCALE * whole, labels) + PRESSED * F.relu(DAMAGE * changed - fallen).mean()


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


def measure_style(
    network: nn.Module, unseen: Glyphs, trained: Glyphs
) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """The units of the distances, and how far sets of 60 glyphs are in them; all on characters not trained on."""
    whole = [features(network, trained.pictures[trained.font == font]).numpy() for font in range(len(TRAINED))]
    units = {
        name: float(np.mean([distance(one, two) for one, two in itertools.combinations(whole, 2)]))
        for name, distance in DISTANCES.items()
    }
    generator = np.random.default_rng(SEED)
    rows: dict[str, list[float]] = defaultdict(list)
    right = []
    for glyphs, fonts in ((trained, len(TRAINED)), (unseen, len(UNSEEN))):
        for font in range(fonts):
            mine = glyphs.pictures[glyphs.font == font]
            others = glyphs.pictures[glyphs.font == (font + 1) % fonts]
            for _ in range(5):
                order = generator.permutation(len(mine))
                one, two = mine[order[:60]], mine[order[60:120]]
                soft = np.stack([np.asarray(Image.fromarray(p).filter(ImageFilter.GaussianBlur(1))) for p in one])
                other = others[generator.permutation(len(others))[:60]]
                base = features(network, one).numpy()
                for case, pictures in (("same font", two), ("blurred", soft), ("another font", other)):
                    theirs = features(network, pictures).numpy()
                    for name, distance in DISTANCES.items():
                        rows[f"{name}, {case}"].append(distance(theirs, base) / units[name])
                if glyphs is trained:
                    right.append(
                        int(np.argmin([mean_distance(base, font_features) for font_features in whole])) == font
                    )
    figures: dict[str, dict[str, float]] = {
        case: {"mean": float(np.mean(values)), "least": min(values), "most": max(values)}
        for case, values in rows.items()
    }
    figures["60 glyphs, right font of 19"] = {"mean": float(np.mean(right))}
    return units, figures


def trained(judge: str, characters: Sequence[str], known: int, whole: Path | None) -> dict[str, Tensor]:
    """The weights of a judge trained on the known characters, in half precision."""
    glyphs = draw_all(TRAINED, characters)
    glyphs = glyphs.where(glyphs.character < known)
    print(f"{len(glyphs.pictures)} glyphs", flush=True)
    torch.manual_seed(SEED)
    network = JUDGES[judge]()
    if whole is None:
        network.train()
        train(judge, network, glyphs, known if judge == "content" else len(TRAINED))
        weights = halved(network)
    else:
        weights = load(whole.read_bytes())
    if judge == "content":
        # From half precision, so that it begins where weights that were kept do.
        network.load_state_dict({name: value.float() for name, value in weights.items()})
        network.eval()
        refine(network, glyphs, known)
        weights = halved(network)
    return weights


def halved(network: nn.Module) -> dict[str, Tensor]:
    """A network's state dict in half precision."""
    state = network.state_dict().items()
    return {name: value.half() if value.is_floating_point() else value for name, value in state}


def measured(judge: str, weights: Mapping[str, Tensor], characters: Sequence[str], known: int) -> dict[str, Any]:
    """The part of the record that says what a judge does, measured as it will be loaded: from half precision."""
    network = JUDGES[judge]()
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    network.eval()
    if judge == "content":
        return {"measured": measure_content(network, characters, known)}
    units, figures = measure_style(network, *(draw_all(faces, characters[known:]) for faces in (UNSEEN, TRAINED)))
    return {"units": units, "measured": figures}


def main() -> None:
    """Train one judge, or take its weights as they are; measure it, write its weights and its part of the record."""
    parser = argparse.ArgumentParser(description="train the judges of drawn glyphs")
    parser.add_argument("judge", choices=[*JUDGES])
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="where weights and record go")
    parser.add_argument("--measure", action="store_true", help="measure the weights there again; train nothing")
    parser.add_argument("--whole", type=Path, help="weights of a content judge that is to be refined only")
    arguments = parser.parse_args()
    judge, out = arguments.judge, arguments.out
    torch.set_num_threads(THREADS)
    pool = choose(dict.fromkeys([*load_charset("big5-1"), *load_charset("gb2312-1")]), CHARACTERS)
    order = np.random.default_rng(SEED).permutation(len(pool))
    characters = [pool[i] for i in order]
    known = len(characters) - UNSEEN_CHARACTERS
    path, file = out / RECORD, out / f"{judge}.safetensors"
    whole = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if arguments.measure:
        data = file.read_bytes()
        weights, entry = load(data), whole[judge]
    else:
        weights = trained(judge, characters, known, arguments.whole)
        data = save(weights)
        entry = {
            "sha256": hashlib.sha256(data).hexdigest(),
            "bytes": len(data),
            "command": f"python benchmarks/train_judges.py {judge}",
            "characters": known,
            "characters not trained on": UNSEEN_CHARACTERS,
            "steps": STEPS[judge],
            "batch": BATCH[judge],
            **({"refined": REFINED} if judge == "content" else {}),
            "seed": SEED,
            "threads": THREADS,
            "torch": torch.__version__,
        }
    whole[judge] = {**entry, **measured(judge, weights, characters, known)}
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
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(file, data)
    write_atomically(path, json.dumps(whole, ensure_ascii=False, indent=1).encode() + b"\n")
    print(json.dumps(whole[judge], ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
