"""Pictures as files, each written whole."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from balancer.errors import ConfigError
from zi2zi_model.data.glyphs import Pixels


def png(picture: Pixels | Image.Image) -> bytes:
    """A grey picture as a PNG file."""
    file = BytesIO()
    Image.fromarray(np.asarray(picture)).save(file, "PNG")
    return file.getvalue()


def write(path: Path, data: bytes) -> None:
    """Put data into a file, making its folder; a kill leaves the old file or the new one.

    Raises:
        ConfigError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not forced to the disk: thousands of pictures would wait for it, and they can be drawn again.
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"--out {path}: cannot be written: {error.strerror or error}") from None
