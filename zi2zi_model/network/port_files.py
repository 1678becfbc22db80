"""Files of other codes' weights, read without running what is in them."""

from __future__ import annotations

import errno
import re
import stat
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from balancer.errors import CheckpointError

Weights = dict[str, Tensor]

_TENSORFLOW: Final = re.compile(r"\.(index|meta|data-\d+-of-\d+)$")


def read_weights(path: Path) -> Weights:
    """A state dict of plain tensors by name, without what DataParallel puts before the names.

    Raises:
        CheckpointError: it cannot be read, or holds anything else.
    """
    try:
        _require_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on other pickles, which are refused right after
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a damaged file makes of the unpickler: KeyError, AssertionError, …
        # torch's own message goes on for a page, and says how to run the code after all.
        foreign = re.search(r"Unsupported (?:global|class): (?:GLOBAL )?([\w.]+)", str(error))
        if foreign:
            why = f"holds {foreign[1]}, which cannot be loaded without running code"
        elif _TENSORFLOW.search(path.name):
            why = "a TensorFlow checkpoint, whose networks differ; only those of the PyTorch ports can be read"
        else:
            why = "not a PyTorch checkpoint, or a damaged one"
        raise CheckpointError(f"{path}: {why}; give a file made by torch.save(net.state_dict(), …)") from None
    if not isinstance(loaded, Mapping) or not loaded:
        what = "nothing" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise CheckpointError(
            f"{path}: holds {what}, not tensors by name; give a file made by torch.save(net.state_dict(), …)"
        )
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or not _is_plain(key, value):
            what = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(
                f"{path}: holds {what} under {key!r:.80}, not tensors of numbers alone; "
                "give a file made by torch.save(net.state_dict(), …)"
            )
    wrapped = all(key.startswith("module.") for key in loaded)  # by DataParallel
    return {key.removeprefix("module.") if wrapped else key: value for key, value in loaded.items()}


def _require_file(path: Path) -> None:
    """See that reading it waits for nobody, and takes no more memory than the file is large.

    Raises:
        OSError, ValueError: it is no regular file, or one whose contents are compressed, as torch never leaves them.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
                raise ValueError("it is compressed")


def _is_plain(key: str, tensor: Tensor) -> bool:
    counts = key.endswith("num_batches_tracked") and tensor.dtype == torch.int64
    dense = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_nested
    # One that is expanded would be written out where it is copied.
    held = dense and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    return held and (tensor.is_floating_point() or counts)
