"""Publishing to a real NATS server: at least once, under one id, in bounded time, or kept."""

import contextlib
import datetime
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from otel_metrics.executions import ExecutionFiles
from otel_metrics.executions.broker import from_environ
from otel_metrics.executions.outbox import Outbox
from otel_metrics.executions.publisher import Published, publish
from tests.otel_metrics.executions.conftest import MakeServer
from tests.otel_metrics.executions.nats_server import NatsServer, bodies, listening

PROGRAM = str(Path(sys.executable).with_name("otel-metrics"))


@pytest.fixture
def files(tmp_path: Path) -> ExecutionFiles:
    return ExecutionFiles(tmp_path / "project", project="desk")


def recorded(files: ExecutionFiles, agent: str = "a", count: int = 1) -> None:
    for _ in range(count):
        assert files.append(agent, success=True, announce=True)


def published(
    files: ExecutionFiles, url: str, *agents: str, timeout_s: float = 20.0, **variables: str
) -> Published:
    broker = from_environ({"NATS_URL": url, **variables})
    return publish(files.folder, agents or ["a"], broker, timeout_s=timeout_s)


def ids(files: ExecutionFiles, agent: str = "a") -> list[str]:
    return [json.loads(line)["id"] for line in files.folder.outbox(agent).waiting()]


def test_without_a_stream_an_event_reaches_who_listens(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """Exactly as it waited, with its id in the header; then nothing waits."""
    server = nats_server()
    recorded(files, count=3)
    waiting = files.folder.outbox("a").waiting()
    with listening(server.url) as messages:
        result = published(files, server.url)

    assert result == Published(sent=3)
    assert [message.data for message in messages] == waiting
    assert [(message.headers or {})["Nats-Msg-Id"] for message in messages] == [
        json.loads(line)["id"] for line in waiting
    ]
    assert not os.path.exists(files.folder.outbox("a").path)


def test_agents_are_sent_one_after_the_other(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """Each in the order of its events, however many there are."""
    server = nats_server()
    recorded(files, "b", 100)
    recorded(files, "a", 100)
    with listening(server.url) as messages:
        published(files, server.url, "a", "b")
    sent = [each["attributes"] for each in bodies(messages)]

    assert [(each["agent"], each["summary"]["execution_count"]) for each in sent] == [
        (agent, count) for agent in ("a", "b") for count in range(1, 101)
    ]


def test_a_stream_keeps_every_event_once(files: ExecutionFiles, nats_server: MakeServer) -> None:
    """Those that are sent again, after a crash before they were taken out, are discarded there."""
    server = nats_server("-js")
    server.add_stream()
    recorded(files, count=100)
    outbox = files.folder.outbox("a")
    before = Path(outbox.path).read_bytes()
    sent = ids(files)
    first = published(files, server.url)
    Path(outbox.path).write_bytes(before)  # as a power cut may leave it
    second = published(files, server.url)
    kept = server.kept()

    assert (first, second) == (Published(sent=100), Published(sent=100))
    assert [identifier for identifier, _ in kept] == sent
    assert [event["id"] for _, event in kept] == sent


@pytest.mark.slow
def test_killed_before_an_event_is_out_it_is_sent_again(
    files: ExecutionFiles, nats_server: MakeServer, component: Callable[[str], str]
) -> None:
    """Under the same id: the kill comes when the outbox would be removed."""
    server = nats_server()
    recorded(files)
    outbox = files.folder.outbox("a").path
    command = [component("strace"), "-f", "-o", os.devnull, "-P", outbox]
    command += ["-e", "trace=unlink,unlinkat", "-e", "inject=unlink,unlinkat:signal=KILL"]
    command += [PROGRAM, "executions", "publish", "--project", files.path]
    with listening(server.url) as messages:
        killed = subprocess.run(
            command, env={**os.environ, "NATS_URL": server.url}, check=False, timeout=60
        )
        published(files, server.url)
    first, second = bodies(messages)

    assert killed.returncode != 0
    assert first == second


def test_a_broker_that_is_down_keeps_the_event_waiting(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """The next call sends it, when the broker is up."""
    server = nats_server(started=False)
    recorded(files)
    waiting = ids(files)
    down = published(files, server.url)
    assert ids(files) == waiting
    server.start()
    with listening(server.url) as messages:
        up = published(files, server.url)

    assert down == Published(waiting=1, error=f"{server.url}: Connection refused")
    assert up == Published(sent=1)
    assert [event["id"] for event in bodies(messages)] == waiting


@pytest.mark.slow
def test_a_broker_that_was_killed_and_started_again_has_what_it_acknowledged(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """And gets what it had not."""
    server = nats_server("-js")
    server.add_stream()
    recorded(files, count=10)
    sent = ids(files)
    published(files, server.url)
    server.kill()
    recorded(files, count=5)
    sent += ids(files)
    assert published(files, server.url).waiting == 5
    server.start()
    published(files, server.url)

    assert [identifier for identifier, _ in server.kept()] == sent


@pytest.mark.slow
def test_a_broker_that_does_not_answer_costs_two_seconds(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """It is stopped: the kernel accepts, and nobody speaks."""
    server = nats_server()
    recorded(files)
    with server.stopped():
        begun = time.monotonic()
        result = published(files, server.url)
        took_s = time.monotonic() - begun

    assert result == Published(waiting=1, error=f"{server.url}: no answer")
    assert took_s < 4
    assert published(files, server.url) == Published(sent=1)


class Silent:
    """Stands between a client and a server, and at a signal reads no more: the window closes.

    Args:
        port: of the server.
        after: the bytes from the client which it passes on no more.
    """

    def __init__(self, port: int, after: bytes) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.url = f"nats://127.0.0.1:{self._listener.getsockname()[1]}"
        self._port, self._after = port, after
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            back = threading.Thread(target=self._pass_back, args=(server, client))
            back.start()
            while (data := client.recv(1024)) and self._after not in data:
                server.sendall(data)
            self._over.wait()
            server.shutdown(socket.SHUT_RDWR)
            back.join()

    @staticmethod
    def _pass_back(server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(65536):
            client.sendall(data)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_a_window_that_closes_costs_a_bounded_time(
    files: ExecutionFiles, nats_server: MakeServer, stream: bool
) -> None:
    """In the middle of the events: none that was not acknowledged is lost."""
    server = nats_server("-js")
    if stream:
        server.add_stream()
    recorded(files, count=300)
    waiting = ids(files)
    silent = Silent(server.port, b"PUB activity")
    try:
        begun = time.monotonic()
        result = published(files, silent.url)
        took_s = time.monotonic() - begun
    finally:
        silent.close()

    assert (result.sent, result.waiting) == (0, 300)
    assert "no answer" in str(result.error)
    assert took_s < 6
    assert ids(files) == waiting


def test_the_time_for_all_events_is_bounded(files: ExecutionFiles, nats_server: MakeServer) -> None:
    """What was not sent in it waits on."""
    server = nats_server()
    recorded(files)
    result = published(files, server.url, timeout_s=0.0)

    assert (result.sent, result.waiting) == (0, 1)
    assert result.error is not None


def test_an_event_that_is_too_large_keeps_nobody_back(
    files: ExecutionFiles, nats_server: MakeServer, tmp_path: Path
) -> None:
    """It is told and waits; the others are sent."""
    config = tmp_path / "small.conf"
    config.write_text("max_payload: 500\n")
    server = nats_server("-c", str(config))
    recorded(files)
    recorded(files, "é" * 100)
    result = published(files, server.url, "a", "é" * 100)

    assert result == Published(
        sent=1,
        waiting=1,
        too_large=1,
        error="1 of them larger than the 500 bytes that the broker takes; raise its max_payload",
    )
    assert len(ids(files, "é" * 100)) == 1


def test_a_stream_that_is_full_keeps_the_event_waiting(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """With the server's reason."""
    server = nats_server("-js")
    server.add_stream(max_msgs=1, discard="new")
    recorded(files, count=2)
    result = published(files, server.url)

    assert (result.sent, result.waiting) == (1, 1)
    assert "maximum messages exceeded" in str(result.error)


PERMITTED = """
authorization {
  users = [
    {user: writer, password: "pw-of-writer", permissions: {publish: "activity.>", subscribe: []}}
    {user: nobody, password: "pw-of-nobody", permissions: {publish: "else.>", subscribe: []}}
    {user: reader, password: "pw-of-reader"}
  ]
}
"""


@pytest.fixture
def guarded(nats_server: MakeServer, tmp_path: Path) -> NatsServer:
    """A server that asks who is there, and lets one publish on the subject and do nothing else."""
    config = tmp_path / "users.conf"
    config.write_text(PERMITTED)
    return nats_server("-js", "-c", str(config))


def as_user(server: NatsServer, userinfo: str) -> str:
    return server.url.replace("://", f"://{userinfo}@")


def test_who_may_only_publish_publishes(files: ExecutionFiles, guarded: NatsServer) -> None:
    """Though the server does not let it ask for streams."""
    recorded(files)
    with listening(as_user(guarded, "reader:pw-of-reader")) as messages:
        result = published(files, as_user(guarded, "writer:pw-of-writer"))

    assert result == Published(sent=1)
    assert len(messages) == 1


@pytest.mark.parametrize(
    ("userinfo", "told"),
    [
        ("writer:pw-of-nobody", "Authorization Violation"),
        ("a-token", "Authorization Violation"),
        ("nobody:pw-of-nobody", "permissions violation for publish"),
    ],
)
def test_who_may_not_is_told_without_the_password(
    files: ExecutionFiles, guarded: NatsServer, userinfo: str, told: str
) -> None:
    """And the event waits."""
    recorded(files)
    result = published(files, as_user(guarded, userinfo))

    assert result.waiting == 1
    assert told in str(result.error)
    assert "pw-of" not in str(result.error)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a certificate for localhost, which this process trusts, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return tmp_path


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_tls_is_spoken_and_the_certificate_checked(
    files: ExecutionFiles, nats_server: MakeServer, certificate: Path, scheme: str
) -> None:
    """By the name in the URL, wherever the server asks for it."""
    server = nats_server(
        *("--tls", "--tlscert", str(certificate / "cert.pem")),
        *("--tlskey", str(certificate / "key.pem")),
    )
    recorded(files, count=2)
    wrong = published(files, f"{scheme}://127.0.0.1:{server.port}")
    right = published(files, f"{scheme}://localhost:{server.port}")

    assert wrong.waiting == 2
    assert "certificate" in str(wrong.error).lower()
    assert right == Published(sent=2)


def test_a_certificate_that_nobody_vouches_for_is_refused(
    files: ExecutionFiles,
    nats_server: MakeServer,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event waits."""
    server = nats_server(
        *("--tls", "--tlscert", str(certificate / "cert.pem")),
        *("--tlskey", str(certificate / "key.pem")),
    )
    monkeypatch.delenv("SSL_CERT_FILE")
    recorded(files)
    result = published(files, f"tls://localhost:{server.port}")

    assert result.waiting == 1
    assert "certificate" in str(result.error).lower()


def test_a_password_is_not_given_to_a_server_without_tls(files: ExecutionFiles) -> None:
    """Where the URL demands TLS, a server that does not ask for it gets no word of it."""
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(b'INFO {"server_id":"x","max_payload":1048576,"headers":true}\r\n')
                while data := client.recv(4096):
                    heard.extend(data)

        thread = threading.Thread(target=serve)
        thread.start()
        recorded(files)
        url = f"tls://user:hunter22@127.0.0.1:{listener.getsockname()[1]}"
        result = published(files, url)
        thread.join()

    assert result.waiting == 1
    assert "does not ask for TLS" in str(result.error)
    assert b"hunter22" not in heard


def test_without_credentials_a_server_without_tls_gets_no_event_either(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """tls:// demands TLS whoever asks."""
    server = nats_server()
    recorded(files)
    result = published(files, server.url.replace("nats://", "tls://"))

    assert result.waiting == 1
    assert "does not ask for TLS" in str(result.error)


def test_the_next_server_is_tried(files: ExecutionFiles, nats_server: MakeServer) -> None:
    """Where the first is down."""
    down, up = nats_server(started=False), nats_server()
    recorded(files)

    assert published(files, f"{down.url},{up.url}") == Published(sent=1)


def test_a_name_that_there_is_not_is_told(files: ExecutionFiles) -> None:
    """With the server."""
    recorded(files)
    result = published(files, "nats://no-such-host.invalid:4222")

    assert result.waiting == 1
    assert str(result.error).startswith("nats://no-such-host.invalid:4222: ")


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"INFO {not json\r\n", b"\0" * 100_000, b"INFO\r\n"],
)
@pytest.mark.slow
def test_what_is_no_nats_server_is_an_error_and_no_crash(
    files: ExecutionFiles, answer: bytes
) -> None:
    """The event waits."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):  # which the end of the test brings
                while True:
                    client, _ = listener.accept()
                    with client:
                        client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        recorded(files)
        result = published(files, f"nats://127.0.0.1:{listener.getsockname()[1]}")
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

    assert result.waiting == 1
    assert result.error is not None


def test_without_nats_py_the_event_waits(
    files: ExecutionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the command that installs it is told."""
    monkeypatch.setitem(sys.modules, "nats", None)
    recorded(files)
    result = published(files, "nats://localhost")

    assert result == Published(
        waiting=1, error="nats-py is not installed; pip install 'otel-metrics[nats]'"
    )


def test_credentials_need_nkeys(
    files: ExecutionFiles,
    nats_server: MakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Which nats-py loads where a credentials file is named; without it that is said."""
    monkeypatch.setitem(sys.modules, "nkeys", None)
    creds = tmp_path / "user.creds"
    creds.touch(0o600)
    recorded(files)
    result = published(files, nats_server().url, NATS_CREDS=str(creds))

    assert result.waiting == 1
    assert str(result.error).endswith("NATS_CREDS needs nkeys; pip install 'nats-py[nkeys]'")


def test_two_that_publish_send_nothing_twice(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """The second waits for the first, and finds nothing."""
    server = nats_server()
    recorded(files, count=200)
    results: list[Published] = []
    with listening(server.url) as messages:
        threads = [
            threading.Thread(target=lambda: results.append(published(files, server.url)))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(messages) == 200
    assert sorted(result.sent for result in results) == [0, 0, 0, 200]


def test_what_is_recorded_while_others_publish_waits_or_is_sent(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """Nothing that was put into an outbox gets lost when others are taken out of it."""
    server = nats_server("-js")
    server.add_stream()
    done = threading.Event()

    def go_on_publishing() -> None:
        while not done.is_set():
            published(files, server.url)

    thread = threading.Thread(target=go_on_publishing)
    thread.start()
    recorded(files, count=200)
    done.set()
    thread.join()
    published(files, server.url)
    counts = [event["attributes"]["summary"]["execution_count"] for _, event in server.kept()]

    assert counts == list(range(1, 201))


def test_an_outbox_that_is_full_refuses_the_event(
    files: ExecutionFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is on the disk all the same, and the reason is told."""
    monkeypatch.setattr("otel_metrics.executions.outbox.OUTBOX_BYTES_MAX", 400)
    recorded(files)
    kept = files.keep({"agent": "a", "success": True}, announce=True)

    assert "publish them first" in str(kept.trouble)
    assert files.summary("a")["execution_count"] == 2
    assert len(ids(files)) == 1


def test_lines_that_are_no_events_stay_in_the_outbox(
    files: ExecutionFiles, nats_server: MakeServer
) -> None:
    """They are neither sent nor removed."""
    recorded(files)
    path = Path(files.folder.outbox("a").path)
    path.write_bytes(b'{"id": 7}\nnot json\n' + path.read_bytes() + b'{"id": "torn')

    assert published(files, nats_server().url) == Published(sent=1)
    assert path.read_bytes().splitlines() == [b'{"id": 7}', b"not json", b'{"id": "torn']
    assert Outbox(str(path)).waiting() == []
