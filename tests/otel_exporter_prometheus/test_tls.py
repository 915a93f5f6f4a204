"""TLS of the page: what it speaks, which files it takes, and that new ones hold at once."""

import os
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_exporter_prometheus import MetricsServer
from otel_exporter_prometheus.errors import ListenError
from otel_exporter_prometheus.page import Page
from otel_exporter_prometheus.settings import Settings

DEADLINE_S = 20.0
CERT_VARIABLE = "OTEL_EXPORTER_PROMETHEUS_TLS_CERT_FILE"
KEY_VARIABLE = "OTEL_EXPORTER_PROMETHEUS_TLS_KEY_FILE"

Certify = Callable[..., tuple[str, str]]


@pytest.fixture
def page() -> Iterator[Page]:
    """An empty page."""
    page = Page(lambda: None)
    page.start()
    yield page
    page.stop()


@pytest.fixture
def files(certify: Certify) -> tuple[str, str]:
    """The certificate and key of `server`."""
    return certify()


@pytest.fixture
def server(page: Page, files: tuple[str, str]) -> Iterator[MetricsServer]:
    """A running server that speaks HTTPS."""
    server = MetricsServer(page, Settings(port=0, tls_cert_file=files[0], tls_key_file=files[1]))
    server.start()
    yield server
    server.stop()


def get(server: MetricsServer, cert: str, path: str = "/metrics") -> int:
    """Ask as somebody who trusts `cert` alone; return the status."""
    context = ssl.create_default_context(cafile=cert)
    url = f"https://localhost:{server.port}{path}"
    with urllib.request.urlopen(url, timeout=DEADLINE_S, context=context) as response:
        response.read()
        status: int = response.status
    return status


def trusts(server: MetricsServer, cert: str) -> bool:
    try:
        return get(server, cert) == 200
    except urllib.error.URLError:
        return False


def start(page: Page, cert: str, key: str) -> str:
    """Return why a server with these files does not start."""
    with pytest.raises(ListenError) as raised:
        MetricsServer(page, Settings(port=0, tls_cert_file=cert, tls_key_file=key)).start()
    return str(raised.value)


def test_the_page_is_encrypted(server: MetricsServer, files: tuple[str, str]) -> None:
    """A client that trusts the certificate gets metrics and health."""
    assert [get(server, files[0], path) for path in ("/metrics", "/healthz")] == [200, 200]


def test_the_end_is_said(server: MetricsServer, files: tuple[str, str]) -> None:
    """A reader can tell the end of the answer from a cut: TLS's own end comes first."""
    context = ssl.create_default_context(cafile=files[0])
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as raw,
        context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=False) as client,
    ):
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while more := client.recv(65536):
            received += more

    assert received.startswith(b"HTTP/1.1 200 OK")


def test_old_versions_are_refused(server: MetricsServer, files: tuple[str, str]) -> None:
    """Nothing before TLS 1.2 is spoken."""
    context = ssl.create_default_context(cafile=files[0])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as raw,
        pytest.raises(OSError),
    ):
        context.wrap_socket(raw, server_hostname="localhost")


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00"])
def test_who_does_not_shake_hands_holds_up_nobody(
    server: MetricsServer, files: tuple[str, str], sent: bytes
) -> None:
    """Peers that are silent, or speak HTTP, take no turn from others."""
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(3)]
    try:
        for client in silent:
            client.sendall(sent)
        assert get(server, files[0]) == 200
    finally:
        for client in silent:
            client.close()


@pytest.mark.slow
def test_a_handshake_that_does_not_end_is_ended(server: MetricsServer) -> None:
    """It is part of the five seconds that a request may take to arrive."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE_S) as client:
        assert client.recv(1) == b""


def test_a_new_certificate_holds_at_once(
    server: MetricsServer, files: tuple[str, str], certify: Certify
) -> None:
    """Replacing the two files is enough; no restart."""
    new = certify("new")
    trusted = [trusts(server, files[0]), trusts(server, new[0])]
    for source, target in zip(new, files, strict=True):
        Path(source).rename(target)

    assert trusted == [True, False]
    assert trusts(server, files[0])


def test_between_two_files_the_old_pair_is_used(
    server: MetricsServer,
    files: tuple[str, str],
    certify: Certify,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A certificate whose key is not there yet closes nothing, and is one line in the log."""
    old = tmp_path / "old.crt"
    old.write_bytes(Path(files[0]).read_bytes())
    new = certify("new")
    Path(new[0]).rename(files[0])

    assert [trusts(server, str(old)) for _ in range(3)] == [True] * 3
    assert [record.getMessage() for record in caplog.records] == [
        (
            f"{KEY_VARIABLE}={files[1]}: is not the key of the certificate in "
            f"{CERT_VARIABLE}={files[0]}; name the two files that belong together; "
            "the certificate from before is used until then"
        )
    ]
    Path(new[1]).rename(files[1])
    assert trusts(server, files[0])


def test_a_wrong_pair_is_refused(page: Page, certify: Certify) -> None:
    """The message names both files."""
    cert, _ = certify("one")
    _, key = certify("other")

    assert start(page, cert, key) == (
        f"{KEY_VARIABLE}={key}: is not the key of the certificate in {CERT_VARIABLE}={cert}; "
        "name the two files that belong together; the page stays closed"
    )


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused(
    page: Page, files: tuple[str, str], mode: int
) -> None:
    """A key is a secret."""
    os.chmod(files[1], mode)

    assert start(page, *files) == (
        f"{KEY_VARIABLE}={files[1]}: others may read or change it (mode {mode:04o}); "
        "chmod it to 0600; the page stays closed"
    )


def test_a_key_with_a_passphrase_is_refused(page: Page, certify: Certify) -> None:
    """Nobody is asked for it on a terminal."""
    cert, key = certify(passphrase="secret")

    assert "the key must have no passphrase" in start(page, cert, key)


def test_what_is_no_certificate_is_refused(page: Page, files: tuple[str, str]) -> None:
    """Another file by mistake is named."""
    Path(files[0]).write_text("hello")

    assert "are no certificate and key in PEM" in start(page, *files)


@pytest.mark.parametrize(("index", "variable"), [(0, CERT_VARIABLE), (1, KEY_VARIABLE)])
def test_an_absent_file_is_named(
    page: Page, files: tuple[str, str], index: int, variable: str
) -> None:
    """Which of the two, and what to do."""
    Path(files[index]).unlink()

    assert start(page, *files) == (
        f"{variable}={files[index]}: No such file or directory; name a file that is there and that "
        "this user may read; the page stays closed"
    )
