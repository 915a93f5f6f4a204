"""`/ws/sovereignty` under a real uvicorn: who is let in, and that no client harms another.

The snapshots are a test's own, so that they can be large and frequent.
"""

import concurrent.futures
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import bcrypt
import pytest

from tests.otel_metrics.web.sockets import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    Client,
    Connect,
    Refused,
    Service,
    closing,
    hurry,
    running,
    waited,
)

TOKEN = "0123456789abcdef-one"
OTHER = "0123456789abcdef-two"
LIVE = """
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from otel_metrics.sovereignty.live import Hub
from otel_metrics.web.guard import Door
from otel_metrics.web.live import PATH, LiveSocket
from otel_exporter_prometheus.auth import Authenticator

padding = "x" * int(os.environ.get("PADDING", "0"))
hub = Hub(lambda: {"padding": padding}, interval_s=float(os.environ.get("INTERVAL_S", "5")))
authenticator = None
if "TOKENS" in os.environ or "USERS" in os.environ:
    authenticator = Authenticator(
        bearer_token_file=os.environ.get("TOKENS"), basic_auth_file=os.environ.get("USERS"),
        count=lambda kind: None,
    )
door = Door(authenticator=authenticator, origins=("https://shop.example",))
app = Starlette(routes=[WebSocketRoute(PATH, LiveSocket(door, lambda: hub))])
"""
INSTRUMENTED = """
import functools

class Instrumented:  # wraps what the server gives, as OpenTelemetry's instrumentation of ASGI does
    async def __call__(self, scope, receive, send):
        @functools.wraps(receive)
        async def received():
            return await receive()
        @functools.wraps(send)
        async def sent(message):
            await send(message)
        await self.app(scope, received, sent)
    def __init__(self, app):
        self.app = app

app.add_middleware(Instrumented)
"""
SERVED = "serve(app)\n"
APP = LIVE + SERVED
WAYS: dict[str, dict[str, str]] = {
    "header": {"Authorization": f"Bearer {TOKEN}"},
    "subprotocol": {"Sec-WebSocket-Protocol": f"sovereignty, bearer.{TOKEN}"},
}


def private(file: Path, content: str) -> str:
    """Write a file that nobody else may read."""
    file.touch(mode=0o600)
    file.write_text(content)
    return str(file)


@pytest.fixture(scope="module")
def open_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without credentials, for this machine."""
    with running(tmp_path_factory.mktemp("open"), APP) as service:
        yield service


@pytest.fixture(scope="module")
def closed_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service that asks for a token."""
    folder = tmp_path_factory.mktemp("closed")
    with running(folder, APP, TOKENS=private(folder / "tokens", TOKEN)) as service:
        yield service


def first_code(client: Client) -> int | None:
    """Return the code of a close that comes before any message, None where a message comes."""
    opcode, payload = client.receive()
    return closing(payload)[0] if opcode == CLOSE else None


def status(service: Service, **headers: str) -> int:
    """Return with what a handshake is answered."""
    try:
        Client(service.port, headers={k.replace("_", "-"): v for k, v in headers.items()}).close()
    except Refused as refused:
        return refused.status
    return 101


@pytest.mark.slow
def test_a_snapshot_comes_at_once(connect: Connect, open_service: Service) -> None:
    """And says which it is."""
    client = connect(open_service.port)
    begun = time.monotonic()
    message = client.message()

    assert time.monotonic() - begun < 2
    assert message["type"] == "sovereignty.snapshot"
    assert message["id"] >= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 101),
        ({"Origin": "http://localhost:{port}"}, 101),
        ({"Origin": "https://shop.example"}, 101),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://localhost:1"}, 403),
        ({"Origin": "https://localhost:{port}"}, 403),
        ({"Origin": "http://shop.example"}, 403),
        ({"Origin": "https://shop.example:444"}, 403),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.nip.io"}, 403),
        ({"X-Forwarded-For": "192.0.2.1"}, 403),
    ],
)
def test_strangers_are_refused_before_they_are_accepted(
    open_service: Service, headers: dict[str, str], expected: int
) -> None:
    """A foreign site, a foreign name and another machine get 403, and never a socket."""
    asked = {name: value.format(port=open_service.port) for name, value in headers.items()}

    assert status(open_service, **asked) == expected


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_token_is_let_in(connect: Connect, closed_service: Service, way: str) -> None:
    """As a header, or as a sub-protocol, which is not repeated to the browser."""
    client = connect(closed_service.port, headers=WAYS[way])

    assert client.message()["type"] == "sovereignty.snapshot"
    assert TOKEN not in client.head
    chosen = "sec-websocket-protocol: sovereignty" in client.head.lower()
    assert chosen is (way == "subprotocol")


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_wrong_token_is_refused_before_it_is_accepted(
    connect: Connect, closed_service: Service, way: str
) -> None:
    """403, whatever is wrong with it."""
    wrong = {name: value.replace(TOKEN, "wrong") for name, value in WAYS[way].items()}

    with pytest.raises(Refused) as refused:
        connect(closed_service.port, headers=wrong)
    assert refused.value.status == 403


@pytest.mark.slow
def test_a_token_may_be_the_first_message(connect: Connect, closed_service: Service) -> None:
    """Nothing is sent before it."""
    client = connect(closed_service.port)
    client.send(TEXT, b'{"token": "%s"}' % TOKEN.encode())

    assert client.message()["type"] == "sovereignty.snapshot"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b'{"token": "wrong"}', 4401),
        (b'{"token": 1}', 4401),
        (b"no JSON", 4401),
        (b"[" * 3000, 4401),
        (b'{"token": ""}', 4401),
        (b'{"authorization": "Basic eDp5"}', 4401),
        (b"x" * 5000, 1009),
    ],
)
def test_a_wrong_first_message_closes(
    connect: Connect, tmp_path: Path, said: bytes, code: int
) -> None:
    """With 4401, and without a frame."""
    with running(tmp_path, APP, TOKENS=private(tmp_path / "tokens", TOKEN)) as service:
        client = connect(service.port)
        client.send(TEXT, said)

        assert client.ending()[0] == code


@pytest.mark.slow
def test_a_client_that_says_nothing_is_closed(connect: Connect, closed_service: Service) -> None:
    """Within seconds, where a token is needed; a token in the URL is none."""
    client = connect(closed_service.port, path=f"/ws/sovereignty?token={TOKEN}")

    assert client.ending() == (4401, "no token came; send it as the first message")


@pytest.mark.slow
def test_a_password_is_let_in(connect: Connect, tmp_path: Path) -> None:
    """As a header, or as the first message."""
    hashed = bcrypt.hashpw(b"hiccup-hiccup", bcrypt.gensalt(10)).decode()
    basic = "Basic YW5uYTpoaWNjdXAtaGljY3Vw"  # anna:hiccup-hiccup
    with running(tmp_path, APP, USERS=private(tmp_path / "users", f"anna:{hashed}")) as service:
        by_header = connect(service.port, headers={"Authorization": basic})
        by_message = connect(service.port)
        by_message.send(TEXT, b'{"authorization": "%s"}' % basic.encode())

        assert by_header.message()["id"] >= 1
        assert by_message.message()["id"] >= 1


@pytest.mark.slow
def test_a_revoked_token_closes_live_sockets(connect: Connect, tmp_path: Path) -> None:
    """Within a minute of the file's change, with 4401; other tokens go on."""
    tokens = tmp_path / "tokens"
    with running(tmp_path, APP, TOKENS=private(tokens, f"{TOKEN}\n{OTHER}\n")) as service:
        revoked = connect(service.port, headers=WAYS["header"])
        kept = connect(service.port, headers={"Authorization": f"Bearer {OTHER}"})
        for client in (revoked, kept):
            client.message()
        tokens.write_text(f"{OTHER}\n")
        begun = time.monotonic()
        ending = revoked.ending()
        took_s = time.monotonic() - begun

        assert ending == (4401, "the credentials hold no longer")
        assert took_s < 60
        assert kept.message()["id"] > 1


@pytest.mark.slow
def test_a_client_that_never_reads_holds_up_nobody(connect: Connect, tmp_path: Path) -> None:
    """Fifty others are at most 100 ms late, and it is closed within 10 s."""
    # 64 KiB a second to each; what the kernel keeps for a client is as small as it can be.
    variables = {"PADDING": "16000", "INTERVAL_S": "0.25", "SNDBUF": "4096"}
    with running(tmp_path, APP, **variables) as service:
        idle = service.facts()
        late: list[float] = []
        ended = threading.Event()

        def watch() -> None:
            client = connect(service.port)
            while not ended.is_set():
                late.append(time.time() - client.message()["timestamp"])
            client.close()

        with concurrent.futures.ThreadPoolExecutor(50) as pool:
            watching = [pool.submit(watch) for _ in range(50)]
            waited(lambda: len(late) > 100)
            late.clear()
            others = service.facts()["descriptors"]
            connect(service.port, receive_bytes=4096)
            joined = service.facts()["descriptors"]
            took_s = waited(lambda: service.facts()["descriptors"] <= others)
            ended.set()
            for each in watching:
                each.result()
        waited(lambda: service.facts()["descriptors"] <= idle["descriptors"])

    late.sort()
    assert joined == others + 1
    assert took_s < 10
    assert len(late) > 50 * 4 * 3
    assert late[int(len(late) * 0.99)] < 0.1


@pytest.mark.slow
def test_a_client_that_stalls_and_comes_back_reads_why(connect: Connect, tmp_path: Path) -> None:
    """The close is behind what was sent: 1013, to try again later."""
    variables = {"PADDING": "60000", "INTERVAL_S": "0.2", "SNDBUF": "4096"}
    with running(tmp_path, APP, **variables) as service:
        slow = connect(service.port, receive_bytes=4096)
        time.sleep(6)  # what is tested is that nothing was read in that time

        assert slow.ending() == (1013, "frames are not taken in time; connect again")


@pytest.mark.slow
def test_a_storm_of_clients_is_bounded(connect: Connect, tmp_path: Path) -> None:
    """Of a thousand a hundred stay, the others hear 1013; then all is as it was before."""
    with running(tmp_path, APP) as service:
        first = connect(service.port)
        first.message()
        first.close()
        waited(lambda: service.facts()["threads"] == 1)
        idle = service.facts()
        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            clients = list(pool.map(lambda _: connect(service.port), range(1000)))
            codes = list(pool.map(first_code, clients))
        for client in clients:
            client.close()
        for _ in range(1000):
            hurry(service.port)
        waited(lambda: service.facts()["descriptors"] <= idle["descriptors"])
        waited(lambda: service.facts()["tasks"] <= idle["tasks"])
        waited(lambda: service.facts()["threads"] <= idle["threads"])

    assert (codes.count(None), codes.count(1013)) == (100, 900)


def flood_messages(client: Client) -> None:
    """Say little, and much too often."""
    for _ in range(1000):
        client.send(TEXT, b"{}")


def one_long_frame(client: Client) -> None:
    """Say 16 MiB at once."""
    client.send(TEXT, b"x" * 2**24)


def many_fragments(client: Client) -> None:
    """Say 16 MiB, a byte a frame."""
    client.send(TEXT, b"x", fin=False)
    for _ in range(2**24):
        client.send(CONTINUATION, b"x", fin=False)


def bad_text(client: Client) -> None:
    """Say what is no UTF-8."""
    client.send(TEXT, b"\xff\xfe")


def bytes_(client: Client) -> None:
    """Say what is no text."""
    client.send(BINARY, b"x")


def a_bomb(client: Client) -> None:
    """Say 64 MiB of zeros in 64 KiB."""
    deflater = zlib.compressobj(wbits=-12)
    data = deflater.compress(bytes(2**26)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    client.send(TEXT, data.removesuffix(b"\x00\x00\xff\xff"), deflated=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("misbehave", "code"),
    [
        (flood_messages, 1008),
        (one_long_frame, 1009),
        (many_fragments, 1009),
        (bad_text, 1007),
        (bytes_, 1003),
        (a_bomb, 1009),
    ],
)
def test_a_client_that_says_too_much_is_closed(
    connect: Connect, tmp_path: Path, misbehave: Callable[[Client], None], code: int
) -> None:
    """With the code that says why, without memory for what it said, and others are served on."""
    extension = {"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits=12"}
    with running(tmp_path, APP, INTERVAL_S="0.2") as service:
        other = connect(service.port)
        other.message()
        before = service.facts()["rss_kib"]
        bad = connect(service.port, headers=extension if misbehave is a_bomb else None)
        sending = threading.Thread(target=_quietly, args=(misbehave, bad))
        sending.start()
        ending = bad.ending()
        bad.socket.close()
        sending.join()

        assert ending[0] == code
        assert service.facts()["rss_kib"] - before < 8 * 1024
        assert other.message()["id"] > 1


@pytest.mark.slow
def test_an_instrumented_service_has_the_same_bounds(tmp_path: Path, connect: Connect) -> None:
    """What wraps the server's functions hides no limit: no memory for 16 MiB, and a cut."""
    variables = {"PADDING": "60000", "INTERVAL_S": "0.2", "SNDBUF": "4096"}
    with running(tmp_path, LIVE + INSTRUMENTED + SERVED, **variables) as service:
        before = service.facts()
        connect(service.port, receive_bytes=4096)
        bad = connect(service.port)
        sending = threading.Thread(target=_quietly, args=(one_long_frame, bad))
        sending.start()
        ending = bad.ending()
        bad.close()
        sending.join()

        assert ending[0] == 1009
        assert service.facts()["rss_kib"] - before["rss_kib"] < 8 * 1024
        assert waited(lambda: service.facts()["descriptors"] <= before["descriptors"]) < 10


@pytest.mark.slow
def test_pings_that_flood_are_bounded(connect: Connect, tmp_path: Path) -> None:
    """Who floods pings and takes no answers is cut; memory stays, and others are served on."""
    with running(tmp_path, APP, INTERVAL_S="0.2") as service:
        other = connect(service.port)
        other.message()
        before = service.facts()["rss_kib"]
        bad = connect(service.port, receive_bytes=4096)

        def flood(client: Client) -> None:
            while True:
                client.send(PING, b"x" * 125)

        sending = threading.Thread(target=_quietly, args=(flood, bad))
        sending.start()
        late = [time.time() - other.message()["timestamp"] for _ in range(10)]
        sending.join(20)

        assert not sending.is_alive()
        assert service.facts()["rss_kib"] - before < 32 * 1024
        assert sorted(late)[5] < 0.5


@pytest.mark.slow
def test_a_client_that_answers_no_ping_is_closed(connect: Connect, tmp_path: Path) -> None:
    """A half-open connection ends within 45 s with uvicorn's own setting, and its seat is free."""
    with running(tmp_path, APP) as service:
        client = connect(service.port)
        begun = time.monotonic()
        code, _ = client.ending()

        assert code == 1011
        assert time.monotonic() - begun < 45


def _quietly(misbehave: Callable[[Client], None], client: Client) -> None:
    with suppress(OSError):
        misbehave(client)
