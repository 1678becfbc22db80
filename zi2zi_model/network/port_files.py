"""Files of other codes' weights, read without running what is in them."""

from __future__ import annotations

import errno
import pickletools
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
# As torch words it, and what the class or function is called.
_REFUSED: Final = re.compile(r"[Uu]nsupported (?:global|class|GLOBAL):? (?:GLOBAL )?([\w.]+)")
# Modules that no saved network needs, and prefixes of what every state dict has.
_TELLING: Final = ("builtins", "__builtin__", "os", "posix", "nt", "subprocess", "sys", "shutil", "socket", "importlib")
_HARMLESS: Final = ("torch.", "collections.OrderedDict")
_MAKE: Final = "give a file made by torch.save(net.state_dict(), …)"
_MOST_PICKLE: Final = 64 * 2**20  # bytes of a file that is looked into only to say why it is refused


def read_weights(path: Path) -> Weights:
    """A state dict of plain tensors by name, without what DataParallel puts before the names.

    Raises:
        CheckpointError: it cannot be read, is damaged, or holds anything else.
    """
    try:
        _require_file(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on other pickles, which are refused right after
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes of the unpickler: KeyError, AssertionError, …
        # torch's own message goes on for a page, and says how to run the code after all.
        raise CheckpointError(f"{path}: {_why(path, str(error))}") from None
    if not isinstance(loaded, Mapping) or not loaded:
        what = "nothing" if isinstance(loaded, Mapping) else type(loaded).__name__
        raise CheckpointError(f"{path}: holds {what}, not tensors by name; {_MAKE}")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor) or not _is_plain(key, value):
            what = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
            raise CheckpointError(f"{path}: holds {what} under {key!r:.80}, not tensors of numbers alone; {_MAKE}")
    wrapped = all(key.startswith("module.") for key in loaded)  # by DataParallel
    return {key.removeprefix("module.") if wrapped else key: value for key, value in loaded.items()}


def has_checksums(path: Path) -> bool:
    """Whether damage to a file's numbers would have been seen: torch before 1.6 wrote none, and it can be told not to.

    Raises:
        OSError: it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(entry.CRC for entry in archive.infolist())


def _require_file(path: Path) -> None:
    """See that reading it waits for nobody, takes no more memory than the file is large, and finds it undamaged.

    Raises:
        OSError: it is no regular file, or cannot be read.
        CheckpointError: its contents are compressed, as torch never leaves them, or are not what was written.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a file")
    with path.open("rb") as file:
        file.read(1)
    damaged = None
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            if any(entry.file_size > entry.compress_size for entry in archive.infolist()):
                raise CheckpointError(f"{path}: not a PyTorch checkpoint: it is compressed; {_MAKE}")
            # torch itself looks at no checksum.
            if has_checksums(path):
                damaged = archive.testzip()
    except CheckpointError:
        raise
    except Exception as error:  # whatever a damaged directory of the archive makes of its reader
        raise CheckpointError(f"{path}: damaged ({ascii(str(error))[1:-1]:.200}); get the file again") from None
    if damaged is not None:
        raise CheckpointError(f"{path}: damaged: {ascii(damaged)[1:-1]:.80} has not its CRC-32; get the file again")


def _why(path: Path, said: str) -> str:
    """Why torch did not load a file, and what to do."""
    if refused := _REFUSED.search(said):
        return _code(refused[1])
    if "TorchScript" in said:
        return f"a TorchScript archive, which holds code; {_MAKE}"
    if _TENSORFLOW.search(path.name):
        return "a TensorFlow checkpoint, whose networks differ; only those of the PyTorch ports can be read"
    asked = _asked_by_pickle(path)
    if asked:
        return _code(asked)
    if asked is None or zipfile.is_zipfile(path):
        return f"not a PyTorch checkpoint, or a damaged one; get the file again, or {_MAKE}"
    return f"a pickle of plain values, such as an .obj package, not a PyTorch checkpoint; {_MAKE}"


def _code(name: str) -> str:
    """What to say of a class or function that a file asks for; torch names those of builtins alone."""
    name = ascii(name[:100])[1:-1]
    if "." not in name or name.partition(".")[0] in _TELLING:
        return f"refused: it asks for {name}, which could do anything here; nothing of it was run, do not trust it"
    return f"refused: it holds {name}, which cannot be loaded without running code; {_MAKE}"


def _asked_by_pickle(path: Path) -> str | None:
    """The first class or function that a pickle asks for and a state dict never; empty where there is none.

    None where the file is no pickle, whether bare or in torch's archive.
    """
    asked: list[str] = []
    texts = ["?", "?"]
    try:
        for opcode, argument, _ in pickletools.genops(_pickle(path)):
            if opcode.name in ("GLOBAL", "INST"):
                asked.append(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                asked.append(".".join(texts[-2:]))
            elif "UNICODE" in opcode.name:
                texts.append(str(argument))
    except Exception:  # whatever bytes that are none make of its reader
        if not asked:
            return None
    return next((name for name in asked if not name.startswith(_HARMLESS)), "")


def _pickle(path: Path) -> bytes:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            return archive.read(name)
    with path.open("rb") as file:
        return file.read(_MOST_PICKLE)


def _is_plain(key: str, tensor: Tensor) -> bool:
    counts = key.endswith("num_batches_tracked") and tensor.dtype == torch.int64
    dense = tensor.layout == torch.strided and not tensor.is_meta and not tensor.is_nested
    # One that is expanded would be written out where it is copied.
    held = dense and tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()
    return held and (tensor.is_floating_point() or counts)
