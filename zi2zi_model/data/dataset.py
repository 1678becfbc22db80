"""Data-set folders: glyph data kept as it will be trained on, with a manifest that notices every change."""

from __future__ import annotations

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np

from balancer import read_input, write_atomically
from balancer.errors import DataError
from zi2zi_model.data.dataset_form import require_arrays, require_manifest
from zi2zi_model.data.pairs import GlyphData, TypefaceRecord
from zi2zi_model.data.placement import Placement

MANIFEST: Final = "dataset.json"
GLYPHS: Final = "glyphs.npz"
MOST_GLYPH_BYTES: Final = 16 * 2**30
_FORMAT: Final = 1


def save(data: GlyphData, folder: Path) -> None:
    """Write a data-set folder: the pictures, then the manifest, without which it counts for nothing.

    Raises:
        DataError: the folder exists with something in it, or cannot be written.
    """
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"data set {folder}: exists already; choose another --out, or delete it")
        folder.mkdir(parents=True, exist_ok=True)
        file = BytesIO()
        np.savez_compressed(
            file, source=data.source, target=data.target, target_index=data.target_index, held_out=data.held_out
        )
        glyphs = file.getvalue()
        body = {
            "format": _FORMAT,
            "size": data.size,
            "counts": data.counts,
            "glyphs": {"file": GLYPHS, "sha256": hashlib.sha256(glyphs).hexdigest()},
            "styles": [{"name": name, "label": label} for name, label in zip(data.styles, data.labels, strict=True)],
            "typefaces": [
                {
                    "name": face.name,
                    "path": face.path,
                    "sha256": face.sha256,
                    "placement": {"scale": face.placement.scale, "x": face.placement.x, "y": face.placement.y},
                }
                for face in data.typefaces
            ],
            "pairs": data.origin,
            "missing": {font: dict(reasons) for font, reasons in data.missing.items()},
            "clipped": dict(data.clipped),
            "held_out": [name for name, out in zip(data.characters, data.held_out, strict=True) if out],
            "characters": list(data.characters),
        }
        text = json.dumps({**body, "sha256": _seal(body)}, ensure_ascii=False, indent=1)
        manifest = text.encode(errors="surrogatepass") + b"\n"  # a path may be bytes that are not text
        try:
            write_atomically(folder / GLYPHS, glyphs)
            write_atomically(folder / MANIFEST, manifest)
        except OSError:
            (folder / GLYPHS).unlink(missing_ok=True)
            folder.rmdir()  # that it was empty, or not there, is known
            raise
    except OSError as error:
        raise DataError(f"data set {folder}: cannot be written: {error.strerror}") from error


def load(folder: Path) -> GlyphData:
    """Read a data-set folder, verifying every byte.

    Raises:
        DataError: none there, or it was changed or damaged since it was made.
    """
    manifest = read_manifest(folder)
    path = folder / GLYPHS
    try:
        glyphs = read_input(path, MOST_GLYPH_BYTES)
    except OSError as error:
        raise DataError(f"data set {folder}: {GLYPHS} cannot be read: {error.strerror}; build it again") from error
    if hashlib.sha256(glyphs).hexdigest() != manifest["glyphs"]["sha256"]:
        raise _changed(folder, GLYPHS)
    try:
        with np.load(BytesIO(glyphs), allow_pickle=False) as arrays:
            held = {name: arrays[name] for name in ("source", "target", "target_index", "held_out")}
        require_arrays(held, manifest)
    except Exception as error:  # whatever zipfile and numpy meet in what is not an archive of these
        raise _changed(folder, GLYPHS) from error
    try:
        return GlyphData(
            characters=tuple(manifest["characters"]),
            styles=tuple(style["name"] for style in manifest["styles"]),
            labels=tuple(style["label"] for style in manifest["styles"]),
            typefaces=tuple(
                TypefaceRecord(face["name"], face["path"], face["sha256"], Placement(**face["placement"]))
                for face in manifest["typefaces"]
            ),
            missing=manifest["missing"],
            clipped=manifest["clipped"],
            origin=manifest["pairs"],
            **held,
        )
    except DataError as error:  # one of no use, such as without held-out characters
        raise DataError(f"data set {folder}: {error}") from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a data-set folder, verified.

    Raises:
        DataError: none there, or it was changed or damaged since it was made.
    """
    path = folder / MANIFEST
    try:
        text = read_input(path)
    except OSError as error:
        why = f"{folder}: no data set there ({MANIFEST} cannot be read: {error.strerror})"
        raise DataError(f"{why}; make one with: balancer zi2zi data build") from error
    try:
        body = json.loads(text)
        seal = body.pop("sha256")
        whole = seal == _seal(body)
        if whole and body["format"] != _FORMAT:
            raise DataError(f"data set {folder}: has format {body['format']}, and this version reads {_FORMAT}")
        if whole:
            require_manifest(body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise _changed(folder, MANIFEST)
    manifest: dict[str, Any] = body
    return manifest


def _seal(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _changed(folder: Path, file: str) -> DataError:
    return DataError(f"data set {folder}: {file} was changed or damaged since it was made; build it again")
