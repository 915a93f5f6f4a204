"""`NATS_URL` and `NATS_CREDS`: what is accepted, and no secret in what is said."""

from pathlib import Path

import pytest

from otel_metrics.executions.broker import Broker, BrokerError, Server, from_environ


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("", [Server(host="localhost", port=4222, tls=False)]),
        ("nats://n", [Server(host="n", port=4222, tls=False)]),
        ("n:1", [Server(host="n", port=1, tls=False)]),
        ("tls://n:4443", [Server(host="n", port=4443, tls=True)]),
        ("nats://[::1]:5", [Server(host="::1", port=5, tls=False)]),
        ("nats://tok%40en@n", [Server(host="n", port=4222, tls=False, user="tok@en")]),
        ("nats://u:p@ss@n", [Server(host="n", port=4222, tls=False, user="u", password="p@ss")]),
        (
            "nats://a, tls://b:1",
            [Server(host="a", port=4222, tls=False), Server(host="b", port=1, tls=True)],
        ),
    ],
)
def test_an_address_is_read(url: str, servers: list[Server]) -> None:
    """One or several servers, with or without scheme, port and credentials."""
    assert from_environ({"NATS_URL": url}) == Broker(servers=tuple(servers))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://u:hunter22@n", r"http://\*\*\*@n: http:// is not spoken here; accepted: nats"),
        ("ws://n", "ws:// is not spoken here"),
        ("nats://u:hunter22@n:99999", r"\*\*\*@n:99999: Port out of range"),
        ("nats://u:hunter22@", "is no address of a server"),
        ("nats://n/path", "is no address of a server"),
        (",", "names 0 servers"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, told: str) -> None:
    """With what is accepted, and without its password."""
    with pytest.raises(BrokerError, match=told) as refused:
        from_environ({"NATS_URL": url})

    assert "hunter22" not in str(refused.value)


def test_no_secret_is_shown() -> None:
    """Neither by the address, nor by a repr, nor out of a server's message."""
    broker = from_environ({"NATS_URL": "tls://user-1:hunter22@n"})

    assert broker.shown == "tls://n:4222"
    assert "hunter22" not in repr(broker)
    assert broker.redacted("no user-1 with hunter22") == "no *** with ***"


@pytest.mark.parametrize(("mode", "told"), [(0o644, "mode 0644"), (0o660, "mode 0660")])
def test_credentials_that_others_may_read_are_refused(tmp_path: Path, mode: int, told: str) -> None:
    """With the remedy."""
    path = tmp_path / "user.creds"
    path.write_text("")
    path.chmod(mode)

    with pytest.raises(BrokerError, match=f"{told}.*chmod it to 0600"):
        from_environ({"NATS_CREDS": str(path)})


def test_credentials_of_ones_own_are_taken(tmp_path: Path) -> None:
    """And a file that is not there is named."""
    path = tmp_path / "user.creds"
    with pytest.raises(BrokerError, match="No such file"):
        from_environ({"NATS_CREDS": str(path)})
    path.write_text("")
    path.chmod(0o600)

    assert from_environ({"NATS_CREDS": str(path)}).credentials == str(path)
