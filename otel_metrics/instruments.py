"""Catalog entry -> handle over an OTel instrument. The only `create_*` calls of the project.

A handle is what recorders hold. It takes the value through the one door (`values.py`), keeps only
the attributes that the catalog lists, keeps the metric within its series budget (`series.py`), and
calls the instrument. What is wrong with a value is counted (`rejections.py`) and never raised.

Threads: handles are called from any thread. A known attribute set of a counter or a histogram
takes no lock of ours; a new one takes the handle's lock for a moment. `_state.lock` guards binding.
"""

import difflib
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.util.types import AttributeValue

from otel_metrics import direct, rejections, values
from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import SERIES_BUDGET, Catalog, Metric
from otel_metrics.errors import RecordingError
from otel_metrics.rejections import Measured, Series, reject
from otel_metrics.series import OVERFLOW, SeriesBudget
from otel_metrics.version import __version__

__all__ = [
    "SCOPE",
    "Handle",
    "Measured",
    "bind",
    "catalog",
    "gauge_times",
    "is_set",
    "largest_budget",
    "metric",
    "observe",
    "reject",
    "reset",
    "reset_after_fork",
    "use_catalog",
]

SCOPE: Final = "otel_metrics"
"""The instrumentation scope of every metric of the catalog."""
SPELLINGS_PER_SERIES: Final = 4
"""Orders of one attribute set that are remembered per series of the budget."""

Attributes = Mapping[str, object]

_CEILING: Final = values.INT64_MAX
_NONE: Final[Attributes] = {}


@dataclass(slots=True)
class _State:
    """What is bound now. One object, so that a test can swap it whole."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    catalog: Catalog | None = None
    provider: MeterProvider | None = None
    private: bool = False
    handles: dict[str, "_Series"] = field(default_factory=dict)
    observed: dict[str, "_Observed"] = field(default_factory=dict)


_state = _State()


class Handle:
    """What a recorder holds of one metric. Each kind takes its own verb and refuses the others.

    Attributes:
        name: the metric's name in the catalog.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def add(self, value: float, attributes: Attributes = _NONE) -> None:
        """Add to a counter, or to an up-down counter. In the metric's unit."""
        self._refuse("add", value, attributes)

    def record(self, value: float, attributes: Attributes = _NONE) -> None:
        """Record one value of a histogram. In the metric's unit."""
        self._refuse("record", value, attributes)

    def set(self, value: float, attributes: Attributes = _NONE) -> None:
        """Set a gauge. In the metric's unit; it stays until set again, forgotten or expired."""
        self._refuse("set", value, attributes)

    def shift(self, by: float, attributes: Attributes = _NONE) -> None:
        """Move a gauge by so much from its value, or from 0 where it has none."""
        self._refuse("shift", by, attributes)

    def forget(self, attributes: Attributes = _NONE) -> None:
        """Stop exporting one series of a gauge."""
        self._refuse("forget", None, attributes)

    def _refuse(self, verb: str, value: object, attributes: Attributes) -> None:
        raise NotImplementedError


class _Unknown(Handle):
    """A name that no catalog holds yet: a user's file may still bring it, when it is loaded."""

    __slots__ = ()

    def _refuse(self, verb: str, value: object, attributes: Attributes) -> None:
        known = metric(self.name)
        if not isinstance(known, _Unknown):
            arguments = (attributes,) if verb == "forget" else (value, attributes)
            getattr(known, verb)(*arguments)
            return
        near = difflib.get_close_matches(self.name, _catalog().metrics, n=1)
        hint = f"did you mean {near[0]!r}?" if near else "a name that `catalog list` prints"
        reject(self.name, "unknown_metric", hint)


class _Series(Handle):
    """A handle with a budget of attribute sets."""

    __slots__ = (
        "_budget",
        "_entry",
        "_integer",
        "_keys",
        "_lock",
        "_negative",
        "_series",
        "_texts",
    )

    def __init__(self, entry: Metric) -> None:
        super().__init__(entry.name)
        self.start_over(entry)

    def start_over(self, entry: Metric) -> None:
        """Begin with no series, as `entry` says, in the provider that is bound now."""
        self._entry = entry
        self._integer = entry.value_type == "int"
        self._negative = entry.instrument in ("updowncounter", "gauge")
        self._keys = frozenset(entry.attributes)
        known = _catalog().attributes
        # To the SDK 1, 1.0 and True are one value: a text attribute given any of them is text.
        self._texts = frozenset(
            key for key in self._keys if key in known and known[key].type in ("string", "enum")
        )
        self._budget = SeriesBudget(entry.name, entry.series_budget)
        self._lock = threading.RLock()
        # Every spelling (order of attributes) seen of a known set, where all of it was kept as it
        # was given: what is dropped or cut is looked at each time, and so never held.
        self._series: dict[tuple[tuple[str, object], ...], Series] = {}

    def _admit(self, attributes: Attributes) -> Series:
        """Return the attribute set that a call counts under: its own, or the overflow series."""
        kept, as_given = self._clean(attributes)
        series = self._budget.admit(kept)
        if as_given and series is not OVERFLOW:
            self._remember(tuple(attributes.items()), series)
        return series

    def _clean(self, attributes: Attributes) -> tuple[dict[str, AttributeValue], bool]:
        """Return what is kept of a call's attributes, and whether that is all text as given."""
        kept: dict[str, AttributeValue] = {}
        as_given = True
        for key, value in attributes.items():
            if key not in self._keys:
                reject(self.name, "unknown_attribute", f"only {', '.join(sorted(self._keys))}")
                as_given = False
                continue
            cleaned = values.label(value)
            as_given = as_given and type(value) is str and cleaned == value
            if cleaned is not None:
                kept[key] = _as_text(cleaned) if key in self._texts else cleaned
        return kept, as_given

    def _remember(self, spelling: tuple[tuple[str, object], ...], series: Series) -> None:
        with self._lock:
            if len(self._series) >= self._entry.series_budget * SPELLINGS_PER_SERIES:
                self._series.clear()
            self._series[spelling] = series

    def _number(self, value: object) -> int | float | None:
        try:
            return values.number(value, integer=self._integer, negative=self._negative)
        except values.RejectedValueError as error:
            reject(self.name, error.reason, error.accepted)
            return None

    def _slow(
        self, value: object, attributes: Attributes | None
    ) -> tuple[int | float, Series] | None:
        """The way of everything but a plain number under a known attribute set."""
        taken = self._number(value)
        series = None if taken is None else self._guarded(self._admit, attributes)
        return None if taken is None or series is None else (taken, series)

    def _guarded(
        self, look_up: Callable[[Attributes], Series | None], attributes: Attributes | None
    ) -> Series | None:
        """Look a series up. What the caller's keys and values raise meanwhile is counted."""
        try:
            return look_up(attributes or _NONE)
        except RecordingError:
            raise
        except Exception as error:  # noqa: BLE001  # keys and values are the caller's objects
            reject(self.name, "bad_attributes", f"a mapping of text, not {type(error).__name__}")
            return None

    def _refuse(self, verb: str, value: object, attributes: Attributes) -> None:
        del value, attributes
        right = {"histogram": "record", "gauge": "set"}.get(self._entry.instrument, "add")
        accepted = f"{right}(), not {verb}(): it is a {self._entry.instrument}"
        reject(self.name, "wrong_instrument", accepted)

    def rebind(self) -> None:
        """Create the instrument in the provider that is bound now."""
        raise NotImplementedError

    def restart(self) -> None:
        """Take up work in a forked child: own lock, own budget, nothing of the parent's values."""
        self._lock = threading.RLock()
        self._budget.start_over()
        self._series = {}


class _Synchronous(_Series):
    """A counter, an up-down counter or a histogram: the call goes straight to the instrument."""

    __slots__ = ("_floor", "_measure", "_type")

    def start_over(self, entry: Metric) -> None:
        super().start_over(entry)
        self._type: type = int if self._integer else float
        self._floor = -values.INT64_MAX if self._negative else 0
        self._measure: Callable[[int | float, Series], None]
        self.rebind()

    def _call(self, value: float, attributes: Attributes = _NONE) -> None:
        # The fast way: two comparisons, one look-up. NaN fails the comparison.
        try:
            series = self._series.get(tuple(attributes.items()))
        except Exception:  # noqa: BLE001  # unhashable, or the caller's own __hash__ and __eq__
            series = None
        if series is not None and type(value) is self._type and self._floor <= value <= _CEILING:
            self._measure(value, series)
            return
        slow = self._slow(value, attributes)
        if slow is not None:
            self._measure(*slow)

    def rebind(self) -> None:
        meter = _meter()
        entry = self._entry
        if entry.instrument == "histogram":
            histogram = meter.create_histogram(
                entry.name,
                unit=entry.unit,
                description=entry.brief,
                explicit_bucket_boundaries_advisory=list(entry.buckets),
            )
            self._measure = direct.measure(histogram, histogram.record)
        elif entry.instrument == "updowncounter":
            up_down = meter.create_up_down_counter(entry.name, entry.unit, entry.brief)
            self._measure = direct.measure(up_down, up_down.add)
        else:
            counter = meter.create_counter(entry.name, entry.unit, entry.brief)
            self._measure = direct.measure(counter, counter.add)


class _Counter(_Synchronous):
    __slots__ = ()
    add = _Synchronous._call


class _Histogram(_Synchronous):
    __slots__ = ()
    record = _Synchronous._call


class _Gauge(_Series):
    """A gauge kept in a table of ours and read when a collection asks, so that a value can expire.

    A synchronous gauge of the SDK is exported for ever.
    """

    __slots__ = ("_table",)

    def start_over(self, entry: Metric) -> None:
        super().start_over(entry)
        self._table: dict[int, tuple[int | float, Series, float]] = {}
        self.rebind()

    def set(self, value: float, attributes: Attributes = _NONE) -> None:
        taken = self._take(value, attributes)
        if taken is not None:
            with self._lock:
                self._table[id(taken[1])] = (*taken, time.monotonic())

    def shift(self, by: float, attributes: Attributes = _NONE) -> None:
        taken = self._take(by, attributes)
        if taken is None:
            return
        number, series = taken
        with self._lock:  # from the reading to the writing, or two threads move it by one step
            self._drop_expired()
            value, _, _ = self._table.get(id(series), (0, series, 0.0))
            moved = value + number
            fits = abs(moved) <= (_CEILING if self._integer else sys.float_info.max)
            if fits:
                self._table[id(series)] = (moved, series, time.monotonic())
        if not fits:
            reject(self.name, "out_of_range", "a step that keeps the value within 64 bits")

    def _take(self, value: object, attributes: Attributes) -> tuple[int | float, Series] | None:
        try:
            series = self._series.get(tuple(attributes.items()))
        except Exception:  # noqa: BLE001  # as in a counter's call
            series = None
        if series is None:
            return self._slow(value, attributes)
        number = self._number(value)
        return None if number is None else (number, series)

    def forget(self, attributes: Attributes = _NONE) -> None:
        series = self._guarded(lambda given: self._budget.find(self._clean(given)[0]), attributes)
        with self._lock:
            self._table.pop(id(series), None)

    def read(self) -> Measured:
        """Return the values that have not expired."""
        with self._lock:
            self._drop_expired()
            return [(value, series) for value, series, _ in self._table.values()]

    def _drop_expired(self) -> None:
        """Let go of what was set too long ago. Called with the lock held."""
        if not self._entry.ttl_s:
            return
        oldest = time.monotonic() - self._entry.ttl_s
        for key in [key for key, (_, _, at) in self._table.items() if at < oldest]:
            del self._table[key]

    def times(self) -> dict[frozenset[tuple[str, AttributeValue]], int]:
        """Return when each value was set, by its attributes."""
        with self._lock:
            table = list(self._table.values())
        return {frozenset(series.items()): int(at * 1e9) for _, series, at in table}

    def rebind(self) -> None:
        _create_observable(self._entry, self.read)

    def restart(self) -> None:
        super().restart()
        self._table = {}


class _Observed:
    """A metric whose values come from a callback at each collection, within its budget too."""

    __slots__ = ("_budget", "_entry", "callback")

    def __init__(self, entry: Metric, callback: Callable[[], Measured]) -> None:
        self._entry = entry
        self._budget = SeriesBudget(entry.name, entry.series_budget)
        self.callback = callback

    def read(self) -> Measured:
        """Return what the callback says now; what is over the budget in one series."""
        folded: int | float | None = None
        for value, attributes in self.callback():
            series = self._budget.admit(attributes)
            if series is not OVERFLOW:
                yield value, series
            elif folded is None or self._entry.instrument == "gauge":
                folded = value
            else:
                folded += value
        if folded is not None:
            yield folded, OVERFLOW

    def rebind(self) -> None:
        _create_observable(self._entry, self.read)

    def restart(self) -> None:
        self._budget.start_over()


def metric(name: str) -> Handle:
    """Return the handle of a metric of the catalog, built-in or the user's own.

    The same handle each time. An unknown name gives a handle that counts every call as rejected
    (`unknown_metric`): recording never raises.

    Example:
        >>> from otel_metrics import instruments
        >>> instruments.metric("skill.executions").add(1, {"gen_ai.skill.name": "triage"})
    """
    if not isinstance(name, str):
        return _Unknown(f"<{type(name).__qualname__}>")
    handle = _state.handles.get(name)
    if handle is not None:
        return handle
    with _state.lock:
        return _state.handles.get(name) or _create_handle(name)


def _create_handle(name: str) -> Handle:
    entry = _catalog().metrics.get(name)
    if entry is None:
        return _Unknown(name)  # not kept: names made from data would grow the table without bound
    kinds = {"gauge": _Gauge, "histogram": _Histogram}
    handle = kinds.get(entry.instrument, _Counter)(entry)
    _state.handles[name] = handle
    return handle


def observe(name: str, callback: Callable[[], Measured]) -> None:
    """Feed a metric of the catalog from `callback` at each collection; a second call replaces it.

    The callback runs on the thread that collects. It must return at once; what it raises leaves
    the metric out of that collection.
    """
    with _state.lock:
        observed = _state.observed.get(name)
        if observed is None:
            observed = _state.observed[name] = _Observed(_catalog().metrics[name], callback)
            observed.rebind()
        observed.callback = callback


def _create_observable(entry: Metric, read: Callable[[], Measured]) -> None:
    """Create an observable instrument that goes silent once another provider is bound."""
    provider = _state.provider
    integer = entry.value_type == "int"

    def callback(options: CallbackOptions) -> list[Observation]:
        del options
        if not _is_asked(provider):
            return []
        try:
            measured = read()
            return [Observation(int(v) if integer else float(v), a) for v, a in measured]
        except Exception as error:  # noqa: BLE001  # one source must not stop the collection
            reject(entry.name, "callback_failed", f"{type(error).__qualname__}: {error}"[:200])
            return []

    meter = _meter()
    if entry.instrument == "counter":
        meter.create_observable_counter(entry.name, [callback], entry.unit, entry.brief)
    elif entry.instrument == "updowncounter":
        meter.create_observable_up_down_counter(entry.name, [callback], entry.unit, entry.brief)
    else:
        meter.create_observable_gauge(entry.name, [callback], entry.unit, entry.brief)


def bind(provider: MeterProvider, *, private: bool = False) -> None:
    """Let every handle, made already or later, record into `provider`.

    Args:
        provider: the service's, or ours in its place.
        private: it is a test's own, beside whatever is global.
    """
    with _state.lock:
        _state.provider = provider
        _state.private = private
        for handle in _state.handles.values():
            handle.rebind()
        for observed in _state.observed.values():
            observed.rebind()
        observe("metric.rejected", rejections.read_rejected)
        observe("metric.overflow", rejections.read_overflowed)


def catalog() -> Catalog:
    """Return the catalog in force: the built-in one, with the user's file where there is one."""
    return _catalog()


def largest_budget() -> int:
    """Return the largest budget of the catalog in force, and the default where none is larger."""
    return max([SERIES_BUDGET, *(entry.series_budget for entry in _catalog().metrics.values())])


def is_set(name: str) -> bool:
    """Tell whether a metric is a gauge of which `gauge_times` says when its values were set."""
    return isinstance(_state.handles.get(name), _Gauge)


def gauge_times() -> dict[str, dict[frozenset[tuple[str, AttributeValue]], int]]:
    """Return when each value of each gauge was set, by metric and attributes, in nanoseconds of the
    monotonic clock, which processes of one machine share."""
    gauges = [handle for handle in list(_state.handles.values()) if isinstance(handle, _Gauge)]
    return {gauge.name: gauge.times() for gauge in gauges}


def use_catalog(catalog: Catalog) -> None:
    """Take metrics from `catalog`, the built-in one extended by the user's file."""
    with _state.lock:
        _state.catalog = catalog
        _start_handles_over(catalog)


def reset() -> None:
    """Go back to the state after import: built-in catalog, no provider, no series, no counts.

    Handles that are held stay valid.
    """
    with _state.lock:
        _state.provider = None
        _state.private = False
        _state.observed.clear()
        rejections.clear()
        _state.catalog = builtin()
        _start_handles_over(_state.catalog)


def _start_handles_over(catalog: Catalog) -> None:
    """Begin each handle anew; one that the catalog does not hold is made again when it does."""
    for name in [name for name in _state.handles if name not in catalog.metrics]:
        del _state.handles[name]
    for name, handle in _state.handles.items():
        handle.start_over(catalog.metrics[name])


def reset_after_fork() -> None:
    """Give the child its own locks, and gauges and counts that start from nothing."""
    _state.lock = threading.RLock()
    rejections.clear()
    for handle in _state.handles.values():
        handle.restart()
    for observed in _state.observed.values():
        observed.restart()


def _is_asked(provider: MeterProvider | None) -> bool:
    """Tell whether an observable that was made for `provider` is to answer now.

    One made before anything was bound (None) lives on the global provider, whatever that became,
    and is the one that the SDK asks there: it keeps the first callback of a name.
    """
    return provider is _state.provider or (provider is None and not _state.private)


def _catalog() -> Catalog:
    if _state.catalog is None:
        _state.catalog = builtin()
    return _state.catalog


def _meter() -> metrics.Meter:
    provider = _state.provider or metrics.get_meter_provider()
    return provider.get_meter(SCOPE, __version__)


def _as_text(value: AttributeValue) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
