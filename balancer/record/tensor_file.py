"""A file of tensors, written one after another: to the byte what safetensors writes, without a copy of them all.

The format is safetensors': eight bytes, the length of the header; the header, JSON that says of each tensor its type,
its shape and where its bytes are, filled up with spaces to a multiple of eight; then the tensors' bytes, those of the
widest type first (https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_ALIGNED: Final = 8


class TensorFile:
    """What a file of these tensors holds; they may lie on any device, share memory, or be views.

    Raises:
        ValueError, KeyError, SafetensorError: safetensors has no such type.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        assert sys.byteorder == "little", "safetensors keeps numbers as little-endian machines do"
        types = _types({tensor.dtype for tensor in tensors.values()})
        order = list(types)
        self._tensors: Final = sorted(tensors.items(), key=lambda item: (order.index(item[1].dtype), item[0]))
        header, end = {}, 0
        for name, tensor in self._tensors:
            start, end = end, end + tensor.numel() * tensor.element_size()
            header[name] = {"dtype": types[tensor.dtype], "shape": [*tensor.shape], "data_offsets": [start, end]}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % _ALIGNED)
        self._header: Final = len(text).to_bytes(8, "little") + text

    def pieces(self) -> Iterator[bytes | memoryview]:
        """The file's bytes, in order; at most one tensor is copied at a time, on the CPU only one that is no whole."""
        yield self._header
        for _, tensor in self._tensors:
            yield _bytes(tensor)


def _types(used: Iterable[torch.dtype]) -> dict[torch.dtype, str]:
    """What safetensors calls these types, in the order in which it writes them."""
    import torch
    from safetensors.torch import save

    named = {str(dtype): dtype for dtype in used}
    if getattr(torch, "float4_e2m1fn_x2", None) in named.values():
        raise ValueError("two numbers share a byte of float4_e2m1fn_x2")
    probe = save({name: torch.empty(0, dtype=dtype) for name, dtype in named.items()})
    header = json.loads(probe[8:])
    return {named[name]: header[name]["dtype"] for name in header}


def _bytes(tensor: Tensor) -> memoryview:
    """A tensor's numbers as they are written; a conjugate or negative view would be stored as those beneath it."""
    import torch

    plain = tensor.detach().cpu().resolve_conj().resolve_neg().reshape(-1)
    if plain.stride(0) != 1:
        plain = plain.clone(memory_format=torch.contiguous_format)
    numbers: memoryview = plain.view(torch.uint8).numpy().data
    return numbers
