"""Where a run begins and ends: `with`, `async with`, or around each call of a function.

The runs that are open are a chain in a context variable, so that nested and concurrent runs keep
apart, and what is spent in a task that a run started still lands on that run.
"""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from otel_metrics.skills.run import Execution

__all__ = ["ExecutionScope", "current_execution", "execution"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Frame:
    run: Execution
    scope: "ExecutionScope"
    outer: "_Frame | None"


_frames: ContextVar[_Frame | None] = ContextVar("otel_metrics_executions", default=None)


def execution(
    skill: str, agent: str | None = None, *, version: str | None = None
) -> "ExecutionScope":
    """Time a run of a skill, count it, and count an exception that leaves it.

    Use it as a context manager (`with`, `async with`) or as a decorator of a function, a coroutine
    function, a generator or an asynchronous generator; each call is a run of its own. An exception
    is recorded by its class (`error.type`) and goes on. A generator is one run, from its first
    step to its last, whatever its consumer does in between.

    Args:
        skill: the skill's name, from a small set.
        agent: the agent that runs it.
        version: the skill's version, from a small set.

    Example:
        >>> from otel_metrics import skills
        >>> with skills.execution("triage", agent="support") as run:
        ...     run.outcome("urgent", expected="urgent", confidence=0.93)
        >>> @skills.execution("summarise")
        ... def summarise(text: str) -> str:
        ...     return text[:20]
        >>> summarise("a long report")
        'a long report'
    """
    return ExecutionScope(skill, agent, version)


def current_execution() -> Execution | None:
    """Return the innermost run that this code is part of, or None.

    In a task or thread that was started inside a run with its context, that run, even after it
    ended.
    """
    frame = _frames.get()
    return None if frame is None else frame.run


class ExecutionScope:
    """Begins a run on entering and ends it on leaving; may be entered again and at once."""

    def __init__(self, skill: str, agent: str | None, version: str | None) -> None:
        if callable(skill):
            raise TypeError("the skill has no name; write @execution('name')")
        self._skill = skill
        self._agent = agent
        self._version = version
        self._newest: _Frame | None = None

    def __enter__(self) -> Execution:
        frame = self._frame()
        self._newest = frame
        _frames.set(frame)
        return frame.run

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        frame = _innermost(lambda frame: frame.scope is self and not frame.run.ended)
        # Left in another context than it was entered in: not in the chain here.
        frame = frame or self._newest
        if frame is None:
            return  # left before it was entered
        try:
            frame.run.end(error)
        finally:
            _frames.set(_innermost(lambda frame: not frame.run.ended))

    async def __aenter__(self) -> Execution:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Make each call of `function` a run."""
        return cast("Callable[P, R]", wraps(function)(self._around(function)))

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        # Each wrapper is of its function's kind, because frameworks ask `inspect` what they got.
        if inspect.isasyncgenfunction(function):
            return self._around_async_generator(function)
        if inspect.isgeneratorfunction(function):
            return self._around_generator(function)
        if inspect.iscoroutinefunction(function):

            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self:
                    return await function(*args, **kwargs)

            return awaited

        def called(*args: Any, **kwargs: Any) -> Any:
            with self:
                return function(*args, **kwargs)

        return called

    def _frame(self) -> _Frame:
        return _Frame(Execution(self._skill, self._agent, self._version), self, _frames.get())

    def _around_generator(
        self, function: Callable[..., Generator[Any, Any, Any]]
    ) -> Callable[..., Generator[Any, Any, Any]]:
        def steps(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            generator = function(*args, **kwargs)
            step: Callable[[Any], Any] = generator.send
            sent: Any = None
            with _Stepwise(self._frame()) as inside:
                while True:
                    try:
                        with inside:
                            item = step(sent)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        sent, step = (yield item), generator.send
                    except GeneratorExit:
                        with inside:
                            generator.close()
                        raise
                    except BaseException as thrown:  # noqa: BLE001  # it goes into the generator
                        sent, step = thrown, generator.throw

        return steps

    def _around_async_generator(
        self, function: Callable[..., AsyncGenerator[Any, Any]]
    ) -> Callable[..., AsyncGenerator[Any, Any]]:
        async def steps(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
            generator = function(*args, **kwargs)
            step: Callable[[Any], Any] = generator.asend
            sent: Any = None
            with _Stepwise(self._frame()) as inside:
                while True:
                    try:
                        with inside:
                            item = await step(sent)
                    except StopAsyncIteration:
                        return
                    try:
                        sent, step = (yield item), generator.asend
                    except GeneratorExit:
                        with inside:
                            await generator.aclose()
                        raise
                    except BaseException as thrown:  # noqa: BLE001  # it goes into the generator
                        sent, step = thrown, generator.athrow

        return steps


class _Stepwise:
    """Ends a generator's run when the generator ends."""

    def __init__(self, frame: _Frame) -> None:
        self._inside = _Inside(frame)

    def __enter__(self) -> "_Inside":
        return self._inside

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._inside.run.end(error)


class _Inside:
    """Makes a generator's run current while the generator works, and not while its consumer does.

    A generator runs in its consumer's context, which would keep what it sets there.
    """

    def __init__(self, frame: _Frame) -> None:
        self.run = frame.run
        self._inner: _Frame | None = frame
        self._outer: _Frame | None = None

    def __enter__(self) -> None:
        self._outer = _frames.get()
        _frames.set(self._inner)

    def __exit__(self, *_: object) -> None:
        self._inner = _frames.get()
        _frames.set(self._outer)


def _innermost(matches: Callable[[_Frame], bool]) -> _Frame | None:
    frame = _frames.get()
    while frame is not None and not matches(frame):
        frame = frame.outer
    return frame
