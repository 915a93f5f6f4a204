"""Asks the source of each service metric once in its interval, and has its answers published.

Figures of the host, of a database and of Prometheus are asked for by one process of the service,
the one that holds the office; figures of the process itself by each.

Threads: `otel-metrics-service` keeps the time, judges answers and hands samples on. Each question
runs on a thread of its own, so that a slow source delays no other; while it has not answered it is
not asked again. `_condition` guards the answers that wait to be judged, at most one a metric. All
else belongs to `otel-metrics-service`, which holds `at_work` while it does something; a fork takes
it. `stop` and `after_fork` are called by who runs the service's telemetry.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, attach, set_value
from opentelemetry.sdk.metrics.export import MetricsData

from otel_metrics import instruments
from otel_metrics.catalog.model import Metric
from otel_metrics.outages import Outage
from otel_metrics.service import registry
from otel_metrics.service.host_figures import HostFigures
from otel_metrics.service.publisher import Missed, Publisher, guarded
from otel_metrics.service.readings import Read, Readings, SourceError, checked
from otel_metrics.service.samples import Resource, Sample
from otel_metrics.service.sources import Sources
from otel_metrics.service.table import Table
from otel_metrics.service.turns import Turn

__all__ = ["LOOK_INTERVAL_S", "Sampler"]

LOOK_INTERVAL_S: Final = 1.0
"""How soon a function that is registered is asked, and an office that is won is taken up."""
STOP_WAIT_S: Final = 0.5
"""What is done with samples takes no more of an exit's time."""

_logger = logging.getLogger("otel_metrics.service")


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the thread of a question leaves."""

    turn: Turn
    readings: Readings
    error: Exception | None
    answered_s: float
    observed_at: float


def _nobody(metric: str, resource: Resource, reason: str) -> None:
    """Be told of samples that are not there, and follow none."""
    del metric, resource, reason


class Sampler:
    """Samples the service's metrics, from `start` to `stop`.

    Args:
        metrics: of the catalog in force, by name; those with a source are sampled.
        collect: a collection of this process's own metrics, begun after the call; may wait.
        elected: whether this process, of all of its service, asks the shared sources now.
        variables: the environment: URLs of databases and of Prometheus.
        on_sample: is given each sample, on the sampler's thread, one at a time. It must return
            soon; values expire when it does not.
        on_missed: is told of each sample that should be there and is not, likewise.
        resource_ids: id by scope, for values that come without one: at least `service`, `host`.
        host: the figures of the machine or of its control group; None samples none.

    Attributes:
        table: the latest values.
        at_work: held while samples are handed on.
    """

    def __init__(
        self,
        metrics: Mapping[str, Metric],
        *,
        collect: Callable[[], MetricsData | None],
        elected: Callable[[], bool],
        variables: Mapping[str, str],
        on_sample: Callable[[Sample], None],
        on_missed: Missed = _nobody,
        resource_ids: Mapping[str, str] | None = None,
        host: HostFigures | None = None,
    ) -> None:
        self.table = Table()
        self._metrics = {name: metric for name, metric in metrics.items() if metric.source}
        self._sources = Sources(collect=collect, variables=variables, host=host)
        self._elected = elected
        self._on_sample = on_sample
        self._on_missed = on_missed
        self._resource_ids = dict(resource_ids or {})
        self._observed: set[str] = set()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self.at_work = threading.Lock()
        self._condition = threading.Condition()
        self._answers: list[_Answer] = []
        self._ending = False
        self._holds_office = False
        self._trouble = Outage(_logger)
        self._publisher = Publisher(
            self.table,
            on_sample=self._on_sample,
            on_missed=self._on_missed,
            resource_ids=self._resource_ids,
        )
        self._functions: Mapping[str, registry.Function] = {}
        self._turns: dict[str, Turn] = {}
        for metric in self._metrics.values():
            self._seat(metric)

    def start(self) -> None:
        """Start the thread. Each source is asked at once, and then once in its interval."""
        threading.Thread(target=self._run, name="otel-metrics-service", daemon=True).start()

    def stop(self, deadline_s: float) -> None:
        """Ask nothing more; wait a moment for the samples that are being handed on, if there is
        time until that reading of the monotonic clock. Questions under way are left alone."""
        with self._condition:
            self._ending = True
            self._condition.notify_all()
        wait_s = min(STOP_WAIT_S, deadline_s - time.monotonic())
        if self.at_work.acquire(timeout=max(0.0, wait_s)):
            self.at_work.release()

    def after_fork(self) -> None:
        """Begin anew in a forked child: no values, and connections of its own."""
        self.table.after_fork()
        self._begin_anew()
        self.start()

    def _run(self) -> None:
        _suppress_instrumentation()
        condition, at_work = self._condition, self.at_work
        answers: list[_Answer] = []
        while not self._ending:
            with at_work:
                self._look(answers)
            with condition:
                condition.wait_for(lambda: self._ending or self._answers, timeout=self._wait_s())
                answers, self._answers = self._answers, []

    def _wait_s(self) -> float:
        soonest_s = min((turn.next_s for turn in self._turns.values()), default=float("inf"))
        return min(max(0.0, soonest_s - time.monotonic()), LOOK_INTERVAL_S)

    def _look(self, answers: list[_Answer]) -> None:
        """Do all that is due."""
        for answer in answers:
            self._guarded(partial(self._judge, answer))
        self._guarded(self._follow_registry)
        self._guarded(self._follow_office)
        now_s = time.monotonic()
        for turn in list(self._turns.values()):
            if turn.next_s <= now_s:
                self._guarded(partial(self._proceed, turn, now_s))

    def _proceed(self, turn: Turn, now_s: float) -> None:
        if turn.asked_s is not None:
            turn.be_late(now_s)
            self._publisher.fail(turn, _late(turn))
        elif turn.shared and not self._holds_office:
            turn.due_s = now_s + LOOK_INTERVAL_S
        elif turn.read is not None:
            self._ask(turn, turn.read, now_s)

    def _ask(self, turn: Turn, read: Read, now_s: float) -> None:
        turn.begin(now_s)
        question = threading.Thread(
            target=_ask,
            args=(read, partial(self._leave, turn)),
            name=f"otel-metrics-source-{turn.metric.name}",
            daemon=True,
        )
        try:
            question.start()
        except RuntimeError as error:  # no more threads, or the interpreter ends
            turn.end(now_s)
            self._publisher.fail(turn, SourceError("exception", str(error)))

    def _judge(self, answer: _Answer) -> None:
        turn = answer.turn
        assert turn.asked_s is not None
        was_late = turn.is_late
        turn.is_late = answer.answered_s - turn.asked_s > turn.source.timeout_s
        turn.end(time.monotonic())
        if was_late or (turn.shared and not self._holds_office):
            return  # counted when its time was over; or another source or process is asked now
        if turn.is_late:
            self._publisher.fail(turn, _late(turn))
        elif answer.error is not None:
            self._publisher.fail(turn, _as_source_error(answer.error))
        else:
            self._take(turn, answer)

    def _take(self, turn: Turn, answer: _Answer) -> None:
        try:
            found = checked(answer.readings)
        except SourceError as error:
            self._publisher.fail(turn, error)
        else:
            self._publisher.take(turn, found, answer.observed_at)

    def _follow_registry(self) -> None:
        """Take up the functions that were registered, and let go of those that are no more."""
        functions, known = registry.functions(), self._functions
        names = {*functions, *known}
        changed = {name for name in names if functions.get(name) is not known.get(name)}
        self._functions = functions
        for name in sorted(changed):
            metric = self._metrics.get(name)
            if metric is not None:
                self._seat(metric)
            elif name in functions:
                _logger.warning(
                    "service.register(%s): not a metric of the catalog that has a source; "
                    "declare it in the file that OTEL_PYTHON_METRICS_CATALOG names",
                    ascii(name),
                )

    def _seat(self, metric: Metric) -> None:
        """Give a metric its turn, or another source; none where nothing can be asked. Values hold
        until a function that takes the place of another has answered."""
        assert metric.source is not None
        function = self._functions.get(metric.name)
        read = self._sources.reader(metric) if function is None else _reader(function)
        shared = function is None and self._sources.is_shared(metric.source)
        now_s, turn = time.monotonic(), self._turns.get(metric.name)
        if turn is not None:
            turn.change(read, shared=shared, now_s=now_s)
            if function is None:
                self._publisher.forget(turn)
        elif read is not None:
            self._turns[metric.name] = Turn(metric, metric.source, read, shared, now_s)
        if read is not None and metric.name not in self._observed:
            self._observed.add(metric.name)
            instruments.observe(metric.name, partial(self.table.measured, metric.name))

    def _follow_office(self) -> None:
        """Ask whether this process holds the office. With its loss the values go; who wins it asks
        at once."""
        shared = [turn for turn in self._turns.values() if turn.shared]
        held, self._holds_office = self._holds_office, bool(shared) and self._elected()
        now_s = time.monotonic()
        for turn in shared:
            if held and not self._holds_office:
                self._publisher.forget(turn)
            elif self._holds_office and not held and turn.asked_s is None:
                turn.due_s = now_s

    def _leave(self, turn: Turn, readings: Readings, error: Exception | None) -> None:
        """Leave an answer, and wake the sampler's thread; on the thread of the question."""
        answer = _Answer(turn, readings, error, time.monotonic(), time.time())
        with self._condition:
            self._answers.append(answer)
            self._condition.notify_all()

    def _guarded(self, step: Callable[[], None]) -> None:
        guarded(step, self._trouble)


def _ask(read: Read, leave: Callable[[Readings, Exception | None], None]) -> None:
    """Ask a source; on the thread of the question."""
    _suppress_instrumentation()
    try:
        readings = read()
    except Exception as error:  # noqa: BLE001  # drivers, the network, the service's own code
        leave({}, error)
    else:
        leave(readings, None)


def _reader(function: registry.Function) -> Read:
    """Return a function of the service as a source."""

    def read() -> Readings:
        returned = function()
        if isinstance(returned, Mapping):
            return {str(id_): value for id_, value in returned.items()}
        return {None: returned}

    return read


def _late(turn: Turn) -> SourceError:
    return SourceError("timeout", f"no answer within {turn.source.timeout_s:g} s")


def _as_source_error(error: Exception) -> SourceError:
    if isinstance(error, SourceError):
        return error
    return SourceError("exception", f"{type(error).__qualname__}: {error}")


def _suppress_instrumentation() -> None:
    """Let instrumented clients on this thread not count our own questions."""
    attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, value=True))
