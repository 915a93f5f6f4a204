"""When a request is tried again, and how soon: against servers that say so in every way."""

import contextlib
import email.utils
import socket
import struct
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import grpc
import pytest

from otel_metrics.pipeline import otlp
from otel_metrics.pipeline.delivery import DELIVERED

Make = Callable[..., Any]
BACKOFF_S = 0.02


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "BACKOFF_FIRST_S", BACKOFF_S)


@pytest.fixture
def collector(http_collector: Make) -> Any:
    """A collector that speaks HTTP."""
    return http_collector()


@pytest.fixture
def answer(collector: Any) -> Make:
    """Return a maker of answers, of the class that the collectors' fixtures use."""
    return type(collector.next_answer())


STATUSES = {429: 2, 502: 2, 503: 2, 504: 2}
STATUSES |= dict.fromkeys((400, 401, 403, 404, 405, 408, 413, 415, 500, 501, 505, 507), 1)


@pytest.mark.parametrize(("status", "posts"), STATUSES.items())
def test_statuses(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make, status: int, posts: int
) -> None:
    """Only those of the specification are tried again; the others are posted once."""
    collector.answers = [answer(status=status)]

    outcome = metric_exporter(collector).export(batch(), 5)

    assert (outcome.ok, len(collector.messages)) == (posts > 1, posts)


CODES = dict.fromkeys(grpc.StatusCode, 1)
CODES |= {
    code: 2
    for code in grpc.StatusCode
    if code.name
    in ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")
}
del CODES[grpc.StatusCode.OK]


@pytest.mark.parametrize(("code", "posts"), CODES.items(), ids=[code.name for code in CODES])
def test_codes(
    grpc_collector: Make, metric_exporter: Make, batch: Make, answer: Make, code: Any, posts: int
) -> None:
    """Of gRPC's codes, too, only those of the specification are tried again."""
    collector = grpc_collector()
    collector.answers = [answer(code=code)]

    outcome = metric_exporter(collector).export(batch(), 5)

    assert (outcome.ok, len(collector.messages)) == (posts > 1, posts)


def _in_2_s() -> str:
    return email.utils.formatdate(time.time() + 2, usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "least_s", "most_s"),
    [
        pytest.param("1", 1.0, 1.5, marks=pytest.mark.slow),
        pytest.param(_in_2_s, 0.9, 2.5, marks=pytest.mark.slow),  # a date has whole seconds
        ("0", BACKOFF_S / 2, 0.5),
        ("-5", BACKOFF_S / 2, 0.5),
        ("Thu, 01 Jan 1970 00:00:00 GMT", BACKOFF_S / 2, 0.5),
        ("soon", BACKOFF_S / 2, 0.5),
        ("1e9999", BACKOFF_S / 2, 0.5),
        ("", BACKOFF_S / 2, 0.5),
    ],
)
def test_gap_that_a_server_asks_for(
    collector: Any,
    metric_exporter: Make,
    batch: Make,
    answer: Make,
    status: int,
    said: str | Callable[[], str],
    least_s: float,
    most_s: float,
) -> None:
    """Seconds and dates to come are honoured; whatever else it says, our own pause holds."""
    value = said if isinstance(said, str) else said()
    collector.answers = [answer(status=status, headers={"retry-after": value})]

    outcome = metric_exporter(collector).export(batch(), 5)

    [gap] = [later - sooner for sooner, later in pairwise(collector.times)]
    assert outcome == DELIVERED
    assert least_s <= gap <= most_s


@pytest.mark.parametrize("said", ["1000000000", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_wait_beyond_a_minute_is_taken_as_one(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make, said: str
) -> None:
    """No server can silence an exporter for longer than 60 s."""
    collector.answers = [answer(status=503, headers={"retry-after": said})]
    exporter = metric_exporter(collector)

    first, second = exporter.export(batch(), 0.5), exporter.export(batch(), 0.5)

    assert not first.ok
    assert second.reason == f"{first.reason}; it asked to wait another 60 s"
    assert len(collector.messages) == 1


def test_a_wait_is_asked_only_where_trying_again_helps(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """A Retry-After beside another status holds nothing back."""
    collector.answers = [answer(status=s, headers={"retry-after": "60"}) for s in (400, 413)]
    exporter = metric_exporter(collector)

    outcomes = [exporter.export(batch(1, 2), 5) for _ in range(2)]

    assert [outcome.ok for outcome in outcomes] == [False, True]


def test_own_pauses_grow_and_differ(
    collector: Any, metric_exporter: Make, batch: Make, answer: Make
) -> None:
    """Exporters that were turned away at once do not come back at once."""
    collector.answers = [answer(status=503) for _ in range(8)]

    outcomes = [metric_exporter(collector).export(batch(), 10) for _ in range(2)]

    gaps = [later - sooner for sooner, later in pairwise(collector.times)]
    assert [outcome.ok for outcome in outcomes] == [False, True]
    for attempt, gap in enumerate(gaps[:5]):
        assert BACKOFF_S * 2**attempt / 2 <= gap <= BACKOFF_S * 2**attempt + 0.2
    assert gaps[0] != gaps[6]


def test_a_reply_that_breaks_off_is_no_yes(
    talker: Make, metric_exporter: Make, batch: Make
) -> None:
    """A connection that is reset within the reply is tried again, and never called delivered."""
    talks: list[int] = []

    def reset(connection: socket.socket) -> None:
        connection.recv(65_536)
        talks.append(1)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n\x0a")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    endpoint = f"http://localhost:{talker(reset)}/v1/metrics"
    outcome = metric_exporter(endpoint=endpoint, protocol="http/protobuf").export(batch(), 5)

    assert not outcome.ok
    assert len(talks) == 6


@pytest.fixture
def black_hole() -> Iterator[str]:
    """An address that drops every SYN: a listener whose queue is full."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_black_hole_is_given_up_at_the_deadline(
    black_hole: str, metric_exporter: Make, batch: Make, protocol: str
) -> None:
    """Where packets vanish, connecting ends by the same deadline as the rest."""
    path = "" if protocol == "grpc" else "/v1/metrics"
    exporter = metric_exporter(endpoint=f"http://{black_hole}{path}", protocol=protocol)
    begun = time.monotonic()

    outcome = exporter.export(batch(), 0.5)

    assert not outcome.ok
    assert time.monotonic() - begun < 0.8
