"""Pictures as files, each written whole."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from balancer import write_atomically
from balancer.errors import ConfigError
from zi2zi_model.data.glyphs import Pixels


def png(picture: Pixels | Image.Image) -> bytes:
    """A grey picture as a PNG file."""
    file = BytesIO()
    Image.fromarray(np.asarray(picture)).save(file, "PNG")
    return file.getvalue()


def picture(image: Image.Image, suffix: str) -> bytes:
    """A picture in the format that a file's suffix says; as PNG without one.

    Raises:
        ValueError: no format has that suffix.
    """
    known = Image.registered_extensions()
    if suffix and suffix.lower() not in known:
        raise ValueError(f"unknown file extension: {suffix}")
    file = BytesIO()
    image.save(file, known.get(suffix.lower(), "PNG"))
    return file.getvalue()


def write(path: Path, data: bytes, *, follow: bool = True) -> None:
    """Put data into a file, making its folder; a kill leaves the old file or the new one.

    A link is followed, and a device written to, unless not to `follow`.

    Raises:
        ConfigError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not forced to the disk: thousands of pictures would wait for it, and they can be drawn again.
        write_atomically(path, data, durable=False, follow=follow)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror or error}") from None
