"""The metrics of an orchestrator as module-level objects, used as those of `prometheus_client` are.

Each is a thin object over a handle of the catalog: `PFORGE_AGENTS_ACTIVE.labels("coder").set(3)`.
Nothing here raises but in strict mode: a method that does not fit the instrument, and labels that
do not fit the metric, count as rejected.

Threads: called from any thread; what is changed lies behind the handle's lock, so that steps of a
gauge made by several threads at once all count.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Self

from otel_metrics import amounts, instruments

__all__ = [
    "PFORGE_AGENTS_ACTIVE",
    "PFORGE_AGENT_ERRORS",
    "PFORGE_BUDGET_USAGE",
    "PFORGE_EFFICIENCY",
    "PFORGE_ENTROPY",
    "PFORGE_FALSE_PIECES",
    "PFORGE_GAPS",
    "PFORGE_MISFITS",
    "PFORGE_ORCHESTRATOR_TICK_DURATION",
    "PFORGE_PATCHES_APPLIED",
    "PFORGE_RECOVERY_ACTIONS",
    "PFORGE_ROLLBACKS",
    "PFORGE_TICKS",
    "PFORGE_TOKENS_USED_TOTAL",
]

_UNLABELLED: Final[Mapping[str, object]] = {}


class _Metric:
    """One metric of the catalog, with the labels that were given so far.

    Attributes:
        name: the metric's name in the catalog.
    """

    __slots__ = ("_given", "_handle", "_labels", "name")

    kind: str
    fitting: str

    def __init__(self, name: str, given: Mapping[str, object] = _UNLABELLED) -> None:
        self.name = name
        self._handle = instruments.metric(name)
        self._labels = instruments.catalog().metrics[name].attributes
        self._given = given

    def labels(self, *values: object, **named: object) -> Self:
        """Return the same metric with labels, by name or in the order that the catalog lists them.

        Values without a name go to the labels that have none yet.
        """
        given = {**self._given, **named}
        free = [label for label in self._labels if label not in given]
        if len(values) > len(free):
            accepted = f"at most {len(free)} values for {', '.join(free) or 'no label'}"
            instruments.reject(self.name, "unknown_attribute", accepted)
        return type(self)(self.name, given | dict(zip(free, values, strict=False)))

    def set(self, value: float) -> None:
        """Set a gauge to a value."""
        del value
        self._refuse("set")

    def inc(self, amount: float = 1) -> None:
        """Add to a counter or a gauge."""
        del amount
        self._refuse("inc")

    def dec(self, amount: float = 1) -> None:
        """Take from a gauge."""
        del amount
        self._refuse("dec")

    def observe(self, amount: float) -> None:
        """Record one value of a histogram."""
        del amount
        self._refuse("observe")

    def _refuse(self, verb: str) -> None:
        accepted = f"{self.fitting}, not {verb}(): it is a {self.kind}"
        instruments.reject(self.name, "wrong_instrument", accepted)

    def _attributes(self) -> Mapping[str, object]:
        """Return the labels; what is recorded without one of them counts, and is told."""
        missing = [label for label in self._labels if self._given.get(label) is None]
        if missing:
            accepted = f"labels({', '.join(f'{label}=…' for label in missing)})"
            instruments.reject(self.name, "missing_attribute", accepted)
        return self._given


class _Gauge(_Metric):
    __slots__ = ()
    kind = "gauge"
    fitting = "set(), inc() or dec()"

    def set(self, value: float) -> None:
        self._handle.set(value, self._attributes())

    def inc(self, amount: float = 1) -> None:
        self._handle.shift(amount, self._attributes())

    def dec(self, amount: float = 1) -> None:
        step = amounts.amount(self.name, amount, negative=True)
        if step is not None:
            self._handle.shift(-step, self._attributes())


class _Counter(_Metric):
    __slots__ = ()
    kind = "counter"
    fitting = "inc()"

    def inc(self, amount: float = 1) -> None:
        self._handle.add(amount, self._attributes())


class _Histogram(_Metric):
    __slots__ = ()
    kind = "histogram"
    fitting = "observe() or time()"

    def observe(self, amount: float) -> None:
        self._handle.record(amount, self._attributes())

    @contextmanager
    def time(self) -> Iterator[None]:
        """Observe the seconds that a block takes, or as a decorator each call of a function."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - began)


PFORGE_EFFICIENCY: Final = _Gauge("pforge.efficiency")
"""Efficiency E of the last tick."""
PFORGE_ENTROPY: Final = _Gauge("pforge.entropy")
"""Entropy of the tests, in bits."""
PFORGE_GAPS: Final = _Gauge("pforge.gaps")
"""Pieces that are missing."""
PFORGE_MISFITS: Final = _Gauge("pforge.misfits")
"""Pieces that do not fit."""
PFORGE_FALSE_PIECES: Final = _Gauge("pforge.false_pieces")
"""Pieces that look right and are not."""
PFORGE_AGENTS_ACTIVE: Final = _Gauge("pforge.agents.active")
"""Agents at work; label `agent_type`."""
PFORGE_TICKS: Final = _Counter("pforge.ticks")
"""Ticks of the orchestrator."""
PFORGE_ORCHESTRATOR_TICK_DURATION: Final = _Histogram("pforge.orchestrator.tick.duration")
"""Time that a tick took, in seconds."""
PFORGE_AGENT_ERRORS: Final = _Counter("pforge.agent.errors")
"""Errors of agents; label `agent_type`."""
PFORGE_PATCHES_APPLIED: Final = _Counter("pforge.patches.applied")
"""Patches that were applied."""
PFORGE_ROLLBACKS: Final = _Counter("pforge.rollbacks")
"""Patches that were rolled back."""
PFORGE_RECOVERY_ACTIONS: Final = _Counter("pforge.recovery.actions")
"""Recovery actions; label `action_type`."""
PFORGE_BUDGET_USAGE: Final = _Gauge("pforge.budget.usage")
"""Share of a tenant's daily token quota that is used, in percent; label `tenant`."""
PFORGE_TOKENS_USED_TOTAL: Final = _Counter("pforge.tokens.used")
"""Tokens used, in and out; labels `vendor` and `model`."""
