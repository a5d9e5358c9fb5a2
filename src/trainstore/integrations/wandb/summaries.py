"""``wandb.summary``: the last value of each metric, and what the script puts there itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trainstore.values import number_of

OPERATIONS = ("min", "max", "mean", "first", "last", "none", "copy", "best")


class Summary:
    """Values by name. What is set is recorded at the run's last step, as a metric, unless it has a curve already.

    Args:
        record: Is called with what is set.
    """

    _before: dict[str, Any]  # of a run that was resumed
    _last: dict[str, Any]  # logged since
    _own: dict[str, Any]  # set since
    _record: Callable[[dict[str, Any]], None] | None

    def __init__(self, record: Callable[[dict[str, Any]], None] | None = None) -> None:
        object.__setattr__(self, "_before", {})
        object.__setattr__(self, "_last", {})
        object.__setattr__(self, "_own", {})
        object.__setattr__(self, "_record", record)

    def _all(self) -> dict[str, Any]:
        return {**self._before, **self._last, **self._own}

    def __repr__(self) -> str:
        return str(self._all())

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._last or name in self._before or bool(self._below(name))

    def __getitem__(self, name: str) -> Any:
        values = self._all()
        found = values[name] if name in values else self._below(name)
        if found is None:
            raise KeyError(name)
        if not isinstance(found, dict):
            return found
        return _Values(found, lambda whole: self.update({name: whole}))

    def _below(self, name: object) -> dict[str, Any] | None:
        """The values of a mapping that was logged, whose names begin with its own and a dot. None: there is none."""
        found: dict[str, Any] = {}
        for key, value in self._all().items():
            beginning, *rest = str(key).split(f"{name}.", 1)
            if beginning == "" and rest:
                *parts, last = rest[0].split(".")
                place = found
                for part in parts:
                    below = place.setdefault(part, {})
                    place = below if isinstance(below, dict) else place
                place[last] = value
        return found or None

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __delitem__(self, name: str) -> None:
        for values in (self._own, self._last, self._before):
            values.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        if name in ("_before", "_last", "_own", "_record"):  # unpickled, and not yet filled
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"wandb.summary has no {name!r}: nothing of this name was logged", name=name) from None

    __setattr__ = __setitem__
    __delattr__ = __delitem__

    def __getstate__(self) -> dict[str, Any]:
        return dict(vars(self))

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def keys(self) -> list[str]:
        """The names."""
        return list(self._all())

    def values(self) -> list[Any]:
        """The values."""
        return list(self._all().values())

    def items(self) -> list[tuple[str, Any]]:
        """Names and values."""
        return list(self._all().items())

    def get(self, name: str, default: Any = None) -> Any:
        """A value, or ``default``."""
        return self[name] if name in self else default  # noqa: SIM401 - this is the method

    def update(self, values: Mapping[str, Any]) -> None:
        """Set values; they are recorded at the run's last step.

        Args:
            values: Name → value.
        """
        values = dict(values)
        self._own.update(values)
        if self._record is not None and values:
            self._record(values)


class _Values(dict[str, Any]):
    """A mapping in the summary, whose items are attributes too, ``summary["loss"].min``; what is set is recorded."""

    def __init__(self, values: Mapping[str, Any], record: Callable[[dict[str, Any]], None]) -> None:
        super().__init__(values)
        object.__setattr__(self, "_record", record)

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        self._record(dict(self))

    __setattr__ = __setitem__

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Aggregates:
    """What ``define_metric(…, summary="min,max")`` asks for: those of each metric, kept up to date."""

    def __init__(self) -> None:
        self._wanted: dict[str, tuple[str, ...]] = {}  # name or pattern → operations
        self._found: dict[str, dict[str, float]] = {}
        self._counts: dict[str, tuple[int, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._wanted)

    def define(self, name: str, operations: tuple[str, ...]) -> None:
        """Ask for these of a metric, or of those whose names begin with a pattern's beginning (``val/*``)."""
        self._wanted[name] = operations

    def see(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the summary holds after these values: the aggregates of those for which some were asked for."""
        shown: dict[str, Any] = {}
        for name, value in values.items():
            wanted = self._wanted_of(name)
            number = None if wanted is None else number_of(value)
            if wanted is None or number is None:
                shown[name] = value
                continue
            found = self._found.setdefault(name, {})
            count, total = self._counts.get(name, (0, 0.0))
            self._counts[name] = count + 1, total + number
            news = {"last": number, "copy": number, "mean": (total + number) / (count + 1)}
            news["first"] = found.get("first", number)
            news["min"] = news["best"] = min(number, found.get("min", number))
            news["max"] = max(number, found.get("max", number))
            self._found[name] = news
            kept = {operation: news[operation] for operation in wanted if operation in news}
            if wanted == ("none",):
                continue
            shown[name] = kept or number
        return shown

    def _wanted_of(self, name: str) -> tuple[str, ...] | None:
        if name in self._wanted:
            return self._wanted[name]
        fitting = [one for one in self._wanted if one.endswith("*") and name.startswith(one[:-1])]
        return self._wanted[max(fitting, key=len)] if fitting else None
