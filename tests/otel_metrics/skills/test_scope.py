"""Where runs begin and end: nested, concurrent, decorated, in generators."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import AsyncIterator, Generator, Iterator

import pytest

from otel_metrics import skills
from otel_metrics.testing import Captured


def _skill(name: str, **more: str) -> dict[str, str]:
    return {"gen_ai.skill.name": name, **more}


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_exception_counts_too(
    captured_telemetry: Captured, error: type[BaseException]
) -> None:
    """Cancellation and interrupts end a run with their class, and go on."""
    with pytest.raises(error), skills.execution("triage"):
        raise error

    name = "asyncio.exceptions.CancelledError" if error is asyncio.CancelledError else None
    about = _skill("triage", **{"error.type": name or error.__name__})
    assert captured_telemetry.value("skill.executions", about) == 1


def test_an_error_of_a_package_counts_under_its_full_name(captured_telemetry: Captured) -> None:
    """Two packages may each have an `Error`."""
    with pytest.raises(UnavailableError), skills.execution("triage"):
        raise UnavailableError

    about = _skill("triage", **{"error.type": f"{__name__}.UnavailableError"})
    assert captured_telemetry.value("skill.executions", about) == 1


class UnavailableError(Exception):
    """An error of a package."""


def test_nested_runs_keep_apart(captured_telemetry: Captured) -> None:
    """The inner run is current until it ends, then the outer one again."""
    with skills.execution("outer") as outer:
        with skills.execution("inner") as inner:
            during = skills.current_execution()
        after = skills.current_execution()

    assert (during, after, skills.current_execution()) == (inner, outer, None)


async def test_concurrent_runs_keep_apart(captured_telemetry: Captured) -> None:
    """Tasks that interleave see each their own run."""
    seen: dict[str, skills.Execution | None] = {}

    async def work(name: str) -> skills.Execution:
        async with skills.execution(name) as run:
            await asyncio.sleep(0)
            seen[name] = skills.current_execution()
            await asyncio.sleep(0)
        return run

    runs = await asyncio.gather(work("a"), work("b"))

    assert (seen["a"], seen["b"]) == tuple(runs)
    assert captured_telemetry.value("skill.executions", _skill("a")) == 1
    assert captured_telemetry.value("skill.executions", _skill("b")) == 1


async def test_a_task_spends_on_the_run_that_started_it(captured_telemetry: Captured) -> None:
    """Even after that run ended."""
    ended = asyncio.Event()

    async def background() -> skills.Execution | None:
        await ended.wait()
        return skills.current_execution()

    with skills.execution("triage") as run:
        task = asyncio.create_task(background())
    ended.set()

    assert await task is run


def test_one_scope_may_be_entered_by_many_threads_at_once(captured_telemetry: Captured) -> None:
    """A scope kept at module level makes a run of its own each time."""
    scope = skills.execution("triage")
    meet = threading.Barrier(4)

    def work() -> None:
        with scope as run:
            meet.wait()
            run.outcome("a", expected="a")
            meet.wait()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    ids = {event.attributes["execution_id"] for event in captured_telemetry.events}
    assert captured_telemetry.value("skill.outcomes") == 4
    assert len(ids) == 4


def test_a_scope_nests_in_itself(captured_telemetry: Captured) -> None:
    """Recursion is fine."""

    @skills.execution("recurse")
    def recurse(depth: int) -> int:
        return depth and 1 + recurse(depth - 1)

    assert recurse(3) == 3
    assert captured_telemetry.value("skill.executions", _skill("recurse")) == 4


def test_a_run_left_in_another_context_is_still_recorded(captured_telemetry: Captured) -> None:
    """As happens to fixtures and to generators that the loop finalises."""
    scope = skills.execution("triage")
    contextvars.copy_context().run(scope.__enter__)
    scope.__exit__(None, None, None)

    assert captured_telemetry.value("skill.executions", _skill("triage")) == 1
    assert skills.current_execution() is None


def test_leaving_what_was_never_entered_does_nothing(captured_telemetry: Captured) -> None:
    """It does not raise into the service."""
    skills.execution("triage").__exit__(None, None, None)

    assert captured_telemetry.value("skill.executions") == 0


def test_each_call_of_a_decorated_function_is_a_run(captured_telemetry: Captured) -> None:
    """The function keeps its name, its arguments and its result."""

    @skills.execution("add", agent="calculator")
    def add(a: int, b: int) -> int:
        """Add."""
        run = skills.current_execution()
        assert run is not None
        run.outcome(a + b, expected=3)
        return a + b

    results = [add(1, 2), add(2, b=2)]

    assert results == [3, 4]
    assert (add.__name__, add.__doc__) == ("add", "Add.")
    assert captured_telemetry.value("skill.executions") == 2
    assert captured_telemetry.value("skill.outcomes") == 2


def test_a_decorated_method_works(captured_telemetry: Captured) -> None:
    """`self` arrives."""

    class Agent:
        @skills.execution("greet")
        def greet(self, name: str) -> str:
            return f"hello {name}"

    assert Agent().greet("you") == "hello you"
    assert captured_telemetry.value("skill.executions", _skill("greet")) == 1


async def test_a_decorated_coroutine_function_is_timed_to_its_end(
    captured_telemetry: Captured,
) -> None:
    """Calling it starts nothing; awaiting it does. Frameworks still see a coroutine function."""

    @skills.execution("fetch")
    async def fetch() -> str:
        await asyncio.sleep(0)
        assert captured_telemetry.value("skill.executions") == 0
        return "page"

    assert inspect.iscoroutinefunction(fetch)
    assert await fetch() == "page"
    assert captured_telemetry.value("skill.executions", _skill("fetch")) == 1


async def test_a_cancelled_coroutine_counts_as_cancelled(captured_telemetry: Captured) -> None:
    """Its class is the error."""

    @skills.execution("fetch")
    async def fetch() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(fetch())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    about = _skill("fetch", **{"error.type": "asyncio.exceptions.CancelledError"})
    assert captured_telemetry.value("skill.executions", about) == 1


def test_a_decorated_generator_is_one_run(captured_telemetry: Captured) -> None:
    """It is current while the generator works, and not while its consumer does."""

    @skills.execution("count")
    def count() -> Iterator[str]:
        for _ in range(2):
            run = skills.current_execution()
            yield run.skill if run else "none"

    assert inspect.isgeneratorfunction(count)
    steps = [(inside, skills.current_execution()) for inside in count()]

    assert steps == [("count", None), ("count", None)]
    assert captured_telemetry.value("skill.executions", _skill("count")) == 1


def test_a_decorated_generator_keeps_its_protocol(captured_telemetry: Captured) -> None:
    """What is sent arrives, what is thrown can be caught, what is returned comes back."""

    @skills.execution("echo")
    def echo() -> Generator[object, object, str]:
        received = yield "ready"
        try:
            yield received
        except KeyError:
            yield "caught"
        return "done"

    generator = echo()
    steps = [next(generator), generator.send("hello"), generator.throw(KeyError("x"))]
    with pytest.raises(StopIteration) as stop:
        next(generator)

    assert steps == ["ready", "hello", "caught"]
    assert stop.value.value == "done"
    assert captured_telemetry.value("skill.executions", _skill("echo")) == 1


def test_a_generator_that_is_not_read_to_its_end_did_not_fail(captured_telemetry: Captured) -> None:
    """Its consumer had enough; its own clean-up runs first."""
    cleaned = []

    @skills.execution("count")
    def count() -> Generator[int]:
        try:
            yield 1
            yield 2
        finally:
            cleaned.append(skills.current_execution())

    generator = count()
    next(generator)
    generator.close()

    assert cleaned[0] is not None
    assert captured_telemetry.value("skill.executions", _skill("count")) == 1


def test_a_generator_that_raises_counts_its_error(captured_telemetry: Captured) -> None:
    """In whatever step it does."""

    @skills.execution("count")
    def count() -> Iterator[int]:
        yield 1
        raise KeyError("x")

    with pytest.raises(KeyError):
        list(count())

    about = _skill("count", **{"error.type": "KeyError"})
    assert captured_telemetry.value("skill.executions", about) == 1


async def test_a_decorated_async_generator_is_one_run(captured_telemetry: Captured) -> None:
    """A streamed answer belongs to one run; what its reader does between chunks does not."""

    @skills.execution("stream")
    async def stream() -> AsyncIterator[str]:
        for _ in range(2):
            await asyncio.sleep(0)
            run = skills.current_execution()
            yield run.skill if run else "none"

    assert inspect.isasyncgenfunction(stream)
    steps = [(inside, skills.current_execution()) async for inside in stream()]

    assert steps == [("stream", None), ("stream", None)]
    assert captured_telemetry.value("skill.executions", _skill("stream")) == 1


async def test_a_decorated_async_generator_keeps_its_protocol(captured_telemetry: Captured) -> None:
    """What is sent arrives, what is thrown can be caught, and closing is no failure."""

    @skills.execution("echo")
    async def echo():  # type: ignore[no-untyped-def]  # an AsyncGenerator, which the decorator keeps
        received = yield "ready"
        try:
            yield received
        except KeyError:
            yield "caught"

    generator = echo()
    steps = [
        await anext(generator),
        await generator.asend("hello"),
        await generator.athrow(KeyError("x")),
    ]
    await generator.aclose()

    assert steps == ["ready", "hello", "caught"]
    assert captured_telemetry.value("skill.executions", _skill("echo")) == 1


def test_a_run_inside_a_generator_lasts_over_its_steps(captured_telemetry: Captured) -> None:
    """An inner run that is open across a yield stays the generator's, not its consumer's."""

    @skills.execution("outer")
    def steps() -> Iterator[str]:
        with skills.execution("inner"):
            yield "one"
            run = skills.current_execution()
            yield run.skill if run else "none"

    assert list(steps()) == ["one", "inner"]
    assert captured_telemetry.value("skill.executions", _skill("inner")) == 1
    assert captured_telemetry.value("skill.executions", _skill("outer")) == 1


def test_a_decorator_without_a_name_says_what_to_write() -> None:
    """`@execution` alone would replace the function by a scope."""
    with pytest.raises(TypeError, match="@execution"):

        @skills.execution  # type: ignore[arg-type]  # the mistake
        def triage() -> None: ...
