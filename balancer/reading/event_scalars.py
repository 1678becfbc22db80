"""The scalars in the events of TensorBoard, as TF1 and TF2 write them."""

from __future__ import annotations

import struct
from typing import Any, Final

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from tensorboard.compat.proto.event_pb2 import Event

# Types of TensorFlow's tensors, as their one element is packed.
FORMATS: Final = {1: struct.Struct("<f"), 2: struct.Struct("<d"), 3: struct.Struct("<i"), 9: struct.Struct("<q")}


def event_of(payload: bytes) -> Any:
    """The event in a record's payload; None where it is not one."""
    try:
        return Event.FromString(payload)
    except DecodeError:
        return None


def scalars_of(event: Any) -> list[tuple[str, float]]:
    """The scalars in an event, by tag."""
    found = []
    for value in event.summary.value:
        kind = value.WhichOneof("value")
        if kind == "simple_value":
            found.append((value.tag, value.simple_value))
        elif kind == "tensor" and value.metadata.plugin_data.plugin_name in ("", "scalars"):
            figure = _figure(value.tensor)
            if figure is not None:
                found.append((value.tag, figure))
    return found


def _figure(tensor: Any) -> float | None:
    """The number in a tensor of one element, or None for any other."""
    packed = FORMATS.get(tensor.dtype)
    if packed is None:
        return None
    if tensor.tensor_content:
        return float(packed.unpack(tensor.tensor_content)[0]) if len(tensor.tensor_content) == packed.size else None
    for values in (tensor.float_val, tensor.double_val, tensor.int_val, tensor.int64_val):
        if len(values) == 1:
            return float(values[0])
    return None
