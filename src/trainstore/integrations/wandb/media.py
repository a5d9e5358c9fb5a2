"""Media: what they are is recorded as an event of their kind; their bytes stay where they are.

Nothing is imported to read one: images, arrays and figures are known by what they look like.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trainstore.arrays import is_array

MAX_BINS = 512
_FIGURES = {"matplotlib": "plot", "plotly": "plot", "bokeh": "plot", "altair": "plot", "seaborn": "plot"}


class Media:
    """Something that is not a number: an event of kind `kind`, whose details say what it is.

    Args:
        data_or_path: A path, an array, a picture, an open file, text: whatever W&B's class of this name takes.
        caption: What stands below it.
        **facts: Whatever else W&B's class takes; what is short is kept.
    """

    kind = "media"

    def __init__(self, data_or_path: Any = None, *args: Any, caption: Any = None, **facts: Any) -> None:
        self._caption = caption
        self.facts: dict[str, Any] = {**described(data_or_path), **_short(facts)}
        if caption is not None:
            self.facts["caption"] = str(caption)

    def __repr__(self) -> str:
        return f"<wandb.{type(self).__name__} {self.facts}>"


class Image(Media):
    """``wandb.Image``; ``classes``, ``boxes`` and ``masks`` are not kept."""

    kind = "image"

    def __init__(
        self, data_or_path: Any = None, mode: str | None = None, caption: Any = None, *args: Any, **facts: Any
    ) -> None:
        for left_out in ("classes", "boxes", "masks"):
            facts.pop(left_out, None)
        super().__init__(data_or_path, caption=caption, **({} if mode is None else {"mode": mode}), **facts)


class Audio(Media):
    """``wandb.Audio``."""

    kind = "audio"

    def __init__(
        self, data_or_path: Any = None, sample_rate: Any = None, caption: Any = None, *args: Any, **facts: Any
    ) -> None:
        rate = {} if sample_rate is None else {"sample_rate": sample_rate}
        super().__init__(data_or_path, caption=caption, **rate, **facts)


class Video(Media):
    """``wandb.Video``."""

    kind = "video"

    def __init__(
        self, data_or_path: Any = None, caption: Any = None, fps: Any = None, format: Any = None, **facts: Any
    ) -> None:
        given = {name: value for name, value in (("fps", fps), ("format", format)) if value is not None}
        super().__init__(data_or_path, caption=caption, **given, **facts)


class Html(Media):
    """``wandb.Html``; up to 10,000 characters are kept."""

    kind = "html"

    def __init__(self, data: Any = None, inject: bool = True, data_is_not_path: bool = False, **facts: Any) -> None:
        super().__init__(None, **facts)
        if hasattr(data, "read"):
            data = data.read()
        if isinstance(data, os.PathLike) or (isinstance(data, str) and not data_is_not_path and data.endswith(".html")):
            self.facts["path"] = os.fspath(data)
        elif data is not None:
            self.facts["html"] = str(data)[:10_000]


class Object3D(Media):
    """``wandb.Object3D``."""

    kind = "object3D"


class Molecule(Media):
    """``wandb.Molecule``."""

    kind = "molecule"


class Plotly(Media):
    """``wandb.Plotly``: a figure."""

    kind = "plot"


class Bokeh(Media):
    """``wandb.Bokeh``: a figure."""

    kind = "plot"


class Classes(Media):
    """``wandb.Classes``: the names of an image's classes, which are not kept."""

    kind = "classes"

    def __init__(self, class_set: Any = ()) -> None:
        super().__init__(None)


class Graph(Media):
    """``wandb.Graph``."""

    kind = "graph"

    def __init__(self, *args: Any, **facts: Any) -> None:
        super().__init__(None)


class Histogram(Media):
    """``wandb.Histogram``: the counts and the edges of its bins, which are kept."""

    kind = "histogram"

    def __init__(self, sequence: Any = None, np_histogram: Any = None, num_bins: int = 64, **facts: Any) -> None:
        super().__init__(None, **facts)
        self.histogram: list[float] = []
        self.bins: list[float] = []
        try:
            counts, edges = np_histogram if np_histogram is not None else _counted(sequence, num_bins)
            self.histogram, self.bins = _numbers(counts)[:MAX_BINS], _numbers(edges)[: MAX_BINS + 1]
            self.facts |= {"values": self.histogram, "bins": self.bins}
        except Exception:  # noqa: BLE001 - anything may be given, and no error of ours may reach a training
            self.facts |= described(sequence if np_histogram is None else np_histogram)


class Chart(Media):
    """A chart of ``wandb.plot``: its kind and title; the rows of its table become samples."""

    kind = "plot"

    def __init__(self, chart: str, table: Any = None, **facts: Any) -> None:
        super().__init__(None, chart=chart, **facts)
        self.table = table


def box3d(**facts: Any) -> dict[str, Any]:
    """``wandb.box3d``: a box of a point cloud, as plain data."""
    return facts


def media_of(value: object) -> Media | None:
    """A picture or a figure that was logged as it is, as the media that W&B makes of it; None if it is neither."""
    library = getattr(value, "__name__", None) if isinstance(value, type(sys)) else type(value).__module__
    library = str(library).partition(".")[0]
    if library == "PIL":
        return Image(value)
    if library in _FIGURES:
        return Plotly(value)
    return None


def described(value: object) -> dict[str, Any]:
    """What can be said of a thing without reading it."""
    if value is None:
        return {}
    if isinstance(value, Media):
        return dict(value.facts)
    if isinstance(value, (str, os.PathLike)):
        return {"path": os.fspath(value)}
    if is_array(value):
        return {"shape": list(value.shape), "dtype": str(value.dtype).replace("torch.", "")}  # type: ignore[attr-defined]
    size = getattr(value, "size", None)
    if isinstance(size, tuple) and hasattr(value, "mode"):  # PIL's
        return {"width": size[0], "height": size[1], "mode": str(value.mode)}
    name = getattr(value, "name", None)
    if hasattr(value, "read") and isinstance(name, str):
        return {"path": name}
    if isinstance(value, (bytes, bytearray)):
        return {"bytes": len(value)}
    if isinstance(value, (list, tuple)):
        return {"length": len(value)}
    return {"type": f"{type(value).__module__}.{type(value).__qualname__}"}


def _short(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if isinstance(value, (bool, int, float, str))}


def _numbers(values: Iterable[Any]) -> list[float]:
    """Whole ones, as most counts are, as ints."""
    values = values.tolist() if hasattr(values, "tolist") else values
    numbers = [float(value) for value in values]
    return [int(number) if number.is_integer() else number for number in numbers]


def _counted(sequence: Any, bins: int) -> tuple[Sequence[float], Sequence[float]]:
    """Counts and edges of equal bins. NaN and infinities are left out; an empty sequence has no bins."""
    if sequence is None:
        return [], []
    if hasattr(sequence, "detach"):
        sequence = sequence.detach().float().cpu().numpy()
    bins = max(1, min(int(bins), MAX_BINS))
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        values = numpy.asarray(sequence, dtype=float).ravel()
        counts, edges = numpy.histogram(values[numpy.isfinite(values)], bins=bins)
        return counts, edges
    values = [float(value) for value in sequence]
    values = [value for value in values if math.isfinite(value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / bins
    counted = [0.0] * bins
    for value in values:
        counted[min(int((value - low) / width), bins - 1)] += 1
    return counted, [low + width * edge for edge in range(bins + 1)]
