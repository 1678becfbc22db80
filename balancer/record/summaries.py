"""What TensorBoard is shown, as its own messages: numbers, pictures, text, settings, a layout of charts; no torch."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

if TYPE_CHECKING:
    from PIL.Image import Image

# Title of a category -> title of a chart -> its kind, and tags or patterns of tags (Margin: value, low, high).
Layout = Mapping[str, Mapping[str, Sequence[Any]]]

# What Markdown takes for its own and lets a backslash escape; < and & are HTML's.
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()>#+\-.!])")


def scalar(tag: str, value: float) -> Any:
    """A number."""
    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def image(tag: str, picture: Image) -> Any:
    """A picture, in colour."""
    data = io.BytesIO()
    picture.convert("RGB").save(data, format="PNG")
    shown = Summary.Image(
        height=picture.height, width=picture.width, colorspace=3, encoded_image_string=data.getvalue()
    )
    return Summary(value=[Summary.Value(tag=tag, image=shown)])


def text(tag: str, line: str) -> Any:
    """A line of plain text, which TensorBoard reads as Markdown: so it is escaped."""
    flat = " ".join(line.split()).replace("&", "&amp;").replace("<", "&lt;")
    return _tensor(tag, "text", _MARKDOWN.sub(r"\\\1", flat).encode(errors="replace"))


def layout(categories: Layout) -> Any:
    """Charts of several curves, on the page of custom scalars."""
    groups = [
        layout_pb2.Category(title=title, chart=[_chart(name, *chart) for name, chart in charts.items()])
        for title, charts in categories.items()
    ]
    made = layout_pb2.Layout(category=groups).SerializeToString()
    return _tensor("custom_scalars__config__", "custom_scalars", made)


def hparams(settings: Mapping[str, bool | int | float | str], metrics: Sequence[str]) -> list[Any]:
    """Settings, and the tags by which runs are compared, on the page of hyperparameters."""
    infos, started = [], plugin_data_pb2.SessionStartInfo()
    for name, value in settings.items():
        if isinstance(value, str):
            started.hparams[name].string_value = value
        else:
            started.hparams[name].number_value = value
        kind = "DATA_TYPE_STRING" if isinstance(value, str) else "DATA_TYPE_FLOAT64"
        infos.append(api_pb2.HParamInfo(name=name, type=api_pb2.DataType.Value(kind)))
    compared = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag)) for tag in metrics]
    parts = {
        metadata.EXPERIMENT_TAG: {"experiment": api_pb2.Experiment(hparam_infos=infos, metric_infos=compared)},
        metadata.SESSION_START_INFO_TAG: {"session_start_info": started},
        metadata.SESSION_END_INFO_TAG: {
            "session_end_info": plugin_data_pb2.SessionEndInfo(status=api_pb2.Status.Value("STATUS_SUCCESS"))
        },
    }
    summaries = []
    for tag, part in parts.items():
        content = plugin_data_pb2.HParamsPluginData(version=metadata.PLUGIN_DATA_VERSION, **part)
        about = _about(metadata.PLUGIN_NAME, content.SerializeToString())
        summaries.append(Summary(value=[Summary.Value(tag=tag, metadata=about)]))
    return summaries


def _chart(title: str, kind: str, tags: Sequence[str]) -> Any:
    if kind == "Margin":
        value, low, high = tags
        series = layout_pb2.MarginChartContent.Series(value=value, lower=low, upper=high)
        return layout_pb2.Chart(title=title, margin=layout_pb2.MarginChartContent(series=[series]))
    return layout_pb2.Chart(title=title, multiline=layout_pb2.MultilineChartContent(tag=tags))


def _tensor(tag: str, plugin: str, content: bytes) -> Any:
    shown = TensorProto(dtype=DT_STRING, string_val=[content], tensor_shape=TensorShapeProto())
    return Summary(value=[Summary.Value(tag=tag, tensor=shown, metadata=_about(plugin))])


def _about(plugin: str, content: bytes = b"") -> Any:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin, content=content))
