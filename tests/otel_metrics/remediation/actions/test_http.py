"""The step `http`, against a real server over TLS: signed, bounded, and never led elsewhere."""

import base64
import hashlib
import hmac
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_metrics.remediation.actions.hosts import endpoint, hosts
from otel_metrics.remediation.actions.http import REPLY_BYTES_MAX, Target
from otel_metrics.remediation.actions.http_step import HttpStep
from otel_metrics.remediation.actions.waiting import left_behind
from otel_metrics.remediation.configuration import ConfigurationProblems
from otel_metrics.remediation.model import Configuration, Step, StepResult
from tests.collector_config.certificates import Authority
from tests.otel_metrics.remediation.actions.processes import WAIT_S, wait_for
from tests.otel_metrics.remediation.actions.receiver import Receiver, receiving
from tests.otel_metrics.remediation.payloads import PAYLOADS

SECRET = b"0123456789abcdef0123456789abcdef"

Post = Callable[..., StepResult]


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Who signs the server's certificate, and is trusted."""
    made = Authority.create(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.certificate_file))
    return made


@pytest.fixture
def receiver(authority: Authority, tmp_path: Path) -> Iterator[Receiver]:
    """A server over TLS whose certificate is for localhost and 127.0.0.1."""
    authority.certify(tmp_path / "cert", tmp_path / "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with receiving(context) as found:
        yield found


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    """The secret that calls are signed with."""
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_bytes(SECRET)
    return path


@pytest.fixture
def post(secret_file: Path) -> Post:
    """Return what posts to a URL, with the hosts that may be called."""

    def send(
        url: str,
        *listed: str,
        timeout_s: float = WAIT_S,
        stopped: Callable[[], bool] = lambda: False,
    ) -> StepResult:
        allowed, wrong = hosts(dict(enumerate(listed)))
        assert wrong == {}
        target = Target(
            method="POST",
            url=url,
            endpoint=endpoint(url),
            hosts=allowed,
            secret_file=str(secret_file),
            timeout_s=timeout_s,
        )
        return HttpStep(target=target, body={"a": 1}).run({}, run_id="r1", stopped=stopped)

    return send


def test_a_call_is_made_as_the_operator_wrote_it(
    step: Callable[..., Step], receiver: Receiver, secret_file: Path
) -> None:
    """Method, path, host and body; the values keep their types."""
    address = f"127.0.0.1:{receiver.port}"
    found = step(
        f"http: {{method: PUT, url: 'https://localhost:{receiver.port}/scale?now=1', "
        f"secret_file: {secret_file}, "
        "body: {to: '${target}', list: ['${workers}', 1.5, true, null, 'text']}}",
        f"hosts: ['localhost:{receiver.port}', '{address}']",
    )

    result = found.run({"target": "b", "workers": 3}, run_id="r1", stopped=lambda: False)
    (request,) = receiver.requests
    assert (result.verdict, result.exit_code) == ("succeeded", 200)
    assert (request.method, request.path) == ("PUT", "/scale?now=1")
    assert request.headers["host"] == f"localhost:{receiver.port}"
    assert request.json() == {"to": "b", "list": [3, 1.5, True, None, "text"]}
    assert found.plan({"target": "b", "workers": 3}) == (
        "PUT",
        f"https://localhost:{receiver.port}/scale?now=1",
        request.body.decode(),
    )


def test_a_receiver_can_tell_who_sent_it(post: Post, receiver: Receiver) -> None:
    """By a signature over id, time and body; a run that is done again has the same id."""
    url, listed = f"https://127.0.0.1:{receiver.port}/", f"127.0.0.1:{receiver.port}"
    post(url, listed)
    post(url, listed)
    post(f"{url}other", listed)

    first, again, other = receiver.requests
    signed = f"{first.headers['webhook-id']}.{first.headers['webhook-timestamp']}.".encode()
    digest = hmac.new(SECRET, signed + first.body, hashlib.sha256).digest()
    assert first.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"
    assert abs(int(first.headers["webhook-timestamp"]) - time.time()) < WAIT_S
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert first.headers["webhook-id"] != other.headers["webhook-id"]


def test_every_payload_arrives_as_one_value(
    step: Callable[..., Step], receiver: Receiver, secret_file: Path
) -> None:
    """Three hundred of them, each a text of the JSON and nothing else."""
    found = step(
        f"http: {{url: 'https://127.0.0.1:{receiver.port}/', secret_file: {secret_file}, "
        "body: {value: '${target}'}}",
        f"hosts: ['127.0.0.1:{receiver.port}']",
    )
    for payload in PAYLOADS:
        found.run({"target": payload}, run_id="r1", stopped=lambda: False)

    assert [request.json() for request in receiver.requests] == [
        {"value": payload} for payload in PAYLOADS
    ]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(post: Post, receiver: Receiver, status: int) -> None:
    """The signature and the body would go where another host says."""
    url = f"https://127.0.0.1:{receiver.port}/{status}"

    found = post(url, f"127.0.0.1:{receiver.port}", f"localhost:{receiver.port}")
    assert (found.verdict, found.detail) == (
        "failed",
        f"POST {url}: {status} (a redirect, which is not followed)",
    )
    assert [request.path for request in receiver.requests] == [f"/{status}"]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_a_status_that_is_no_success_is_a_failure(
    post: Post, receiver: Receiver, status: int
) -> None:
    """The reply is kept, without secrets."""
    url = f"https://127.0.0.1:{receiver.port}/{status}"

    found = post(url, f"127.0.0.1:{receiver.port}")
    assert (found.verdict, found.detail, found.exit_code) == (
        "failed",
        f"POST {url}: {status}",
        status,
    )
    assert found.output.startswith("done, ")
    assert "hunter2" not in found.output


def test_a_long_reply_is_cut(post: Post, receiver: Receiver) -> None:
    """What is behind 64 KiB is not read."""
    found = post(f"https://127.0.0.1:{receiver.port}/flood", f"127.0.0.1:{receiver.port}")

    assert (found.verdict, len(found.output)) == ("succeeded", REPLY_BYTES_MAX)


@pytest.mark.parametrize("path", ["slow", "trickle"])
def test_a_reply_that_does_not_come_times_out(post: Post, receiver: Receiver, path: str) -> None:
    """However slowly it comes; the call is ended, and its thread with it."""
    url = f"https://127.0.0.1:{receiver.port}/{path}"

    found = post(url, f"127.0.0.1:{receiver.port}", timeout_s=0.5)
    assert found == StepResult(verdict="timed_out", detail=f"POST {url}: given up after 0.5 s")
    wait_for(lambda: left_behind() == 0)


def test_the_kill_switch_ends_a_call_within_two_seconds(post: Post, receiver: Receiver) -> None:
    """It need not wait for the other side."""
    url, listed = f"https://127.0.0.1:{receiver.port}/slow", f"127.0.0.1:{receiver.port}"
    at: list[float] = []

    def stopped() -> bool:
        if receiver.requests and not at:
            at.append(time.monotonic())
        return bool(at)

    found = post(url, listed, stopped=stopped)
    assert time.monotonic() - at[0] < 2
    assert found == StepResult(
        verdict="stopped", detail=f"POST {url}: given up: the kill switch is on"
    )
    wait_for(lambda: left_behind() == 0)


def test_a_name_that_leads_inside_is_not_called(post: Post, receiver: Receiver) -> None:
    """Though the name is listed: the address would have to be, too."""
    found = post(f"https://localhost:{receiver.port}/", f"localhost:{receiver.port}")

    assert found.verdict == "failed"
    assert "which is no public address; add " in found.detail
    assert receiver.requests == []


def test_a_name_is_resolved_once(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that leads elsewhere the second time gains nothing by it."""
    asked: list[object] = []
    resolve = socket.getaddrinfo

    def rebinding(host: object, *arguments: object, **options: object) -> object:
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "127.0.0.2"
        return resolve(address, receiver.port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)

    found = post(
        f"https://localhost:{receiver.port}/",
        f"localhost:{receiver.port}",
        f"127.0.0.1:{receiver.port}",
    )
    assert (found.verdict, asked) == ("succeeded", ["localhost"])


def test_proxies_of_the_environment_are_not_used(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would connect to an address that nobody looked at."""
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1/")

    assert (
        post(f"https://127.0.0.1:{receiver.port}/", f"127.0.0.1:{receiver.port}").verdict
        == "succeeded"
    )


def test_a_certificate_that_nobody_vouches_for_is_refused(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent."""
    monkeypatch.delenv("SSL_CERT_FILE")

    found = post(f"https://127.0.0.1:{receiver.port}/", f"127.0.0.1:{receiver.port}")
    assert found.verdict == "failed"
    assert "certificate verify failed" in found.detail
    assert receiver.requests == []


def test_a_certificate_of_another_name_is_refused(
    post: Post, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of the URL is what is verified, not the address behind it."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: resolve("127.0.0.1", receiver.port))

    found = post(
        f"https://hooks.example:{receiver.port}/",
        f"hooks.example:{receiver.port}",
        f"127.0.0.1:{receiver.port}",
    )
    assert found.verdict == "failed"
    assert "not valid for 'hooks.example'" in found.detail
    assert receiver.requests == []


def test_a_host_that_is_listed_with_http_is_called_without_tls(post: Post) -> None:
    """An operator may say so, of a sidecar for example."""
    with receiving() as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"

        assert post(f"{origin}/", origin).verdict == "succeeded"


def test_a_secret_can_be_changed(post: Post, receiver: Receiver, secret_file: Path) -> None:
    """It is read for each call, and must still be private."""
    url, listed = f"https://127.0.0.1:{receiver.port}/", f"127.0.0.1:{receiver.port}"
    secret_file.chmod(0o644)
    refused = post(url, listed)
    secret_file.chmod(0o600)
    secret_file.write_bytes(b"short")
    short = post(url, listed)

    assert refused.detail == (
        f"POST {url}: others may read {secret_file} (mode 0644); chmod 0600 {secret_file}"
    )
    assert short.detail.startswith(f"POST {url}: secret_file={secret_file}: is shorter than 16")
    assert receiver.requests == []


def test_a_server_that_is_not_there_is_a_failure(post: Post) -> None:
    """With the system's reason."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]

        found = post(f"https://127.0.0.1:{port}/", f"127.0.0.1:{port}")
    assert (found.verdict, found.detail) == (
        "failed",
        f"POST https://127.0.0.1:{port}/: [Errno 111] Connection refused",
    )


def test_what_is_only_notified_goes_to_the_webhook(
    configured: Callable[[str], Configuration], receiver: Receiver, secret_file: Path
) -> None:
    """Signed, with the event's name and fields; secrets masked."""
    notice = configured(
        f"hosts: ['127.0.0.1:{receiver.port}']\n"
        f"notify: {{url: 'https://127.0.0.1:{receiver.port}/told', secret_file: {secret_file}}}"
    ).notice
    assert notice is not None

    found = notice.send("remediation.notified", {"playbook.id": "shift-load", "api_key": "s3cr3t"})
    (request,) = receiver.requests
    told = json.loads(request.body)
    assert found.verdict == "succeeded"
    assert (told["type"], told["data"]) == (
        "remediation.notified",
        {"playbook.id": "shift-load", "api_key": "[redacted]"},
    )
    assert set(request.headers) >= {"webhook-id", "webhook-timestamp", "webhook-signature"}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("{secret_file: SECRET}", "http.url: is missing; write https://HOST/PATH"),
        ("{url: 'https://a.example/'}", "http.secret_file: is missing; name the file of the"),
        (
            "{url: 'https://b.example/', secret_file: SECRET}",
            "http.url: b.example:443 is not in `hosts`; add 'b.example:443' to `hosts`",
        ),
        (
            "{url: 'http://a.example/', secret_file: SECRET}",
            "http.url: a.example:80 is not in `hosts`; add 'http://a.example:80' to `hosts`",
        ),
        (
            "{url: 'https://${target}/', secret_file: SECRET}",
            "http.url: has a placeholder; a URL is fixed, put the value in the body",
        ),
        ("{url: 'https://a.example/', method: GET}", "http.method: 'GET' is not one of POST, PUT"),
        ("{body: {a: 'x${target}'}}", "http.body.a: 'x${target}' has a placeholder within a text"),
        ("{body: {'${target}': 1}}", "http.body: '${target}' is a key; a key is fixed"),
        ("{body: [.nan]}", "http.body[0]: nan is no number of JSON; write a finite one"),
        ("{secret_file: /nowhere}", "http.secret_file: /nowhere cannot be read: No such file"),
        ("{secret_file: SECRET, url: 'https://a.example/', retries: 3}", "http.retries: is no kn"),
    ],
)
def test_what_cannot_be_called_is_refused_when_the_file_is_read(
    step: Callable[..., Step], secret_file: Path, written: str, expected: str
) -> None:
    """With its key and a remedy."""
    with pytest.raises(ConfigurationProblems) as refused:
        step(f"http: {written.replace('SECRET', str(secret_file))}", "hosts: [a.example]")

    assert f"steps[0].{expected}" in str(refused.value)
