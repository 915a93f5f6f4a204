"""Authentication: who is let in, what everybody else is told, and what a file must be like."""

import base64
import logging
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_exporter_prometheus.auth import Authenticator
from otel_exporter_prometheus.errors import SettingError
from otel_exporter_prometheus.passwords import KNOWN_MAX, Passwords, parse_users
from otel_exporter_prometheus.protocol import Answer, Request
from otel_exporter_prometheus.tally import Tally
from otel_exporter_prometheus.throttle import FAILURES_MAX, PEERS_MAX, WINDOW_S, Throttle

TOKEN = "0123456789abcdef"
OTHER = "fedcba9876543210"
SALT = b"$2b$10$abcdefghijklmnopqrstuu"
HASH = bcrypt.hashpw(b"pass:word", SALT).decode()
LONGEST = "x" * 72
LONGEST_HASH = bcrypt.hashpw(LONGEST.encode(), SALT).decode()
BEARER_VARIABLE = "OTEL_EXPORTER_PROMETHEUS_BEARER_TOKEN_FILE"
BASIC_VARIABLE = "OTEL_EXPORTER_PROMETHEUS_BASIC_AUTH_FILE"

Private = Callable[..., str]


@pytest.fixture
def private(tmp_path: Path) -> Private:
    """Return what writes a file that only we may read."""

    def write(name: str, content: str | bytes, *, mode: int = 0o600) -> str:
        new = tmp_path / f"{name}.new"
        new.write_bytes(content if isinstance(content, bytes) else content.encode())
        new.chmod(mode)
        new.rename(tmp_path / name)
        return str(tmp_path / name)

    return write


def authenticator(
    *, bearer: str | None = None, basic: str | None = None, errors: Tally | None = None
) -> Authenticator:
    return Authenticator(
        bearer_token_file=bearer, basic_auth_file=basic, count=(errors or Tally()).add
    )


def asked(*authorization: str, peer: str = "192.0.2.1", path: str = "/metrics") -> Request:
    headers = {"authorization": authorization} if authorization else {}
    return Request("GET", path, ("localhost",), headers, peer)


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_each_token_of_the_file_is_let_in(private: Private) -> None:
    """While a token is being replaced, the old one and the new one are right."""
    guard = authenticator(bearer=private("tokens", f"{TOKEN}\n\n  {OTHER}\r\n"))

    given = [f"Bearer {TOKEN}", f"bearer {OTHER}", f"BEARER  {TOKEN} "]
    assert [guard.refusal(asked(each)) for each in given] == [None] * 3


def test_whatever_is_wrong_the_answer_is_the_same(private: Private) -> None:
    """Wrong, missing, malformed or twice: nothing tells how near a guess was."""
    tokens, users = private("tokens", TOKEN), private("users", f"prom:{HASH}\n")
    guard = authenticator(bearer=tokens, basic=users)
    wrong: list[tuple[str, ...]] = [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        (f"Bearer {TOKEN[:-1]}",),
        (f"Bearer {TOKEN}x",),
        (f"Bearer {TOKEN} {TOKEN}",),
        ("Bearer é" + TOKEN,),
        (TOKEN,),
        (f"Token {TOKEN}",),
        (f"Bearer {TOKEN}", f"Bearer {TOKEN}"),
        (f"Bearer {TOKEN}, Bearer {TOKEN}",),
        ("Basic",),
        ("Basic !",),
        ("Basic " + base64.b64encode(b"no colon").decode(),),
        ("Basic \x80",),
        (basic("prom", "wrong"),),
        (basic("prom", ""),),
        (basic("nobody", "pass:word"),),
        (basic("prom", "pass:word" + "x" * 100),),
        (basic("prom", "pass\0word"),),
        ("Digest username=prom",),
    ]

    # Each from another peer, since ten failures of one are answered otherwise.
    answers = [
        guard.refusal(asked(*each, peer=f"192.0.2.{number}")) for number, each in enumerate(wrong)
    ]

    unauthorized = Answer(
        401,
        b"This page needs authentication.\n",
        extra=(
            ("WWW-Authenticate", 'Bearer realm="metrics"'),
            ("WWW-Authenticate", 'Basic realm="metrics", charset="UTF-8"'),
        ),
    )
    assert answers == [unauthorized] * len(wrong)


def test_only_what_is_configured_is_asked_for(private: Private) -> None:
    """The challenge names the ways that can succeed."""
    bearer = authenticator(bearer=private("tokens", TOKEN)).refusal(asked())
    basic_only = authenticator(basic=private("users", f"prom:{HASH}")).refusal(asked())

    assert bearer is not None
    assert bearer.extra == (("WWW-Authenticate", 'Bearer realm="metrics"'),)
    assert basic_only is not None
    assert basic_only.extra == (("WWW-Authenticate", 'Basic realm="metrics", charset="UTF-8"'),)


def test_a_users_password_is_let_in(private: Private) -> None:
    """Either file is enough; a password may hold a colon, and be as long as bcrypt reads."""
    users = f"# who scrapes\nprom:{HASH}\nlong:{LONGEST_HASH}\n"
    guard = authenticator(bearer=private("tokens", TOKEN), basic=private("users", users))

    given = [basic("prom", "pass:word"), basic("long", LONGEST), f"Bearer {TOKEN}"]
    assert [guard.refusal(asked(each)) for each in given] == [None] * 3


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
def test_hashes_of_any_tool_are_read(private: Private, version: str) -> None:
    """`htpasswd` writes 2y, and ends with an empty line."""
    guard = authenticator(basic=private("users", f"prom:{HASH.replace('2b', version, 1)}\n\n"))

    assert guard.refusal(asked(basic("prom", "pass:word"))) is None


def test_a_password_beyond_what_bcrypt_reads_is_wrong(private: Private) -> None:
    """73 bytes of which the first 72 are right are not right."""
    guard = authenticator(basic=private("users", f"long:{LONGEST_HASH}"))

    refusal = guard.refusal(asked(basic("long", LONGEST + "x")))
    assert refusal is not None
    assert refusal.status == 401


@given(st.text(max_size=60))
def test_any_authorization_is_answered(text: str) -> None:
    """Garbage in the header is a wrong credential and no error."""
    guard = Authenticator(bearer_token_file=None, basic_auth_file=None, count=Tally().add)

    for given_header in (text, f"Bearer {text}", f"Basic {text}"):
        refusal = guard.refusal(asked(given_header, peer=text))
        assert refusal is not None
        assert refusal.status in (401, 429)


def test_a_changed_file_holds_at_once(private: Private) -> None:
    """A token that was taken out is refused by the next request, a new one let in."""
    path = private("tokens", TOKEN)
    guard = authenticator(bearer=path)
    private("tokens", OTHER)

    assert guard.refusal(asked(f"Bearer {OTHER}")) is None
    assert guard.refusal(asked(f"Bearer {TOKEN}")) is not None


def test_a_changed_password_holds_at_once(private: Private) -> None:
    """A remembered password is forgotten with its hash."""
    path = private("users", f"prom:{HASH}")
    guard = authenticator(basic=path)
    assert guard.refusal(asked(basic("prom", "pass:word"))) is None
    private("users", f"prom:{LONGEST_HASH}")

    assert guard.refusal(asked(basic("prom", "pass:word"))) is not None
    assert guard.refusal(asked(basic("prom", LONGEST))) is None


def test_a_file_that_turns_bad_lets_nobody_in(
    private: Private, caplog: pytest.LogCaptureFixture
) -> None:
    """What it said before may be what was to be revoked; one line says so, another that it ends."""
    path = private("tokens", TOKEN)
    guard = authenticator(bearer=path)
    private("tokens", "")
    refused = [guard.refusal(asked(f"Bearer {TOKEN}")) for _ in range(3)]
    Path(path).unlink()
    refused.append(guard.refusal(asked(f"Bearer {TOKEN}")))
    private("tokens", TOKEN, mode=0o644)
    refused.append(guard.refusal(asked(f"Bearer {TOKEN}")))
    os.chmod(path, 0o600)

    assert [each is not None and each.status for each in refused] == [401] * 5
    assert guard.refusal(asked(f"Bearer {TOKEN}")) is None
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.ERROR,
            (
                f"{BEARER_VARIABLE}={path}: holds no token; make one with `openssl rand -hex 32`; "
                "until then nobody is let in by it"
            ),
        ),
        (logging.WARNING, f"{BEARER_VARIABLE}={path}: can be used again"),
    ]


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        ("", 0o600, "holds no token; make one with `openssl rand -hex 32`"),
        ("\n \n", 0o600, "holds no token"),
        ("short", 0o600, "the token in line 1 is shorter than 16 characters"),
        (f"{TOKEN}\nshort\n", 0o600, "the token in line 2 is shorter than 16 characters"),
        (f"{TOKEN} {OTHER}", 0o600, "the token in line 1 holds what no header can"),
        (f"{TOKEN}é", 0o600, "the token in line 1 holds what no header can"),
        (b"\0" * 20, 0o600, "the token in line 1 holds what no header can"),
        (TOKEN, 0o640, "others may read or change it (mode 0640); chmod it to 0600"),
        (TOKEN, 0o604, "others may read or change it (mode 0604); chmod it to 0600"),
        ("x" * 2_000_000, 0o600, "is larger than 1 MiB"),
    ],
)
def test_an_unsafe_file_of_tokens_is_refused(
    private: Private, content: str | bytes, mode: int, message: str
) -> None:
    """The reason is said, with what to do, and no part of a token."""
    path = private("tokens", content, mode=mode)

    with pytest.raises(SettingError) as raised:
        authenticator(bearer=path)

    assert str(raised.value).startswith(f"{BEARER_VARIABLE}={path}: {message}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no user; write user:hash lines"),
        ("# prom:x", "holds no user"),
        (
            "prom",
            "line 1 is not user:hash with a bcrypt hash; make one with `htpasswd -nBC 12 USER`",
        ),
        ("prom:secret", "line 1 is not user:hash"),
        (f":{HASH}", "line 1 is not user:hash"),
        (f"prom:{HASH}x", "line 1 is not user:hash"),
        (f"prom:{HASH}\nother:{HASH[:-1]}", "line 2 is not user:hash"),
        ("prom:{SHA}secret", "line 1 is not user:hash"),
        (f"prom:{HASH.replace('$10$', '$09$')}", "line 1: the hash has cost 9; accepted are 10"),
        (f"prom:{HASH.replace('$10$', '$31$')}", "line 1: the hash has cost 31; accepted are 10"),
        (f"prom:{HASH}\nprom:{HASH}", "line 2: this user is there twice; remove one"),
    ],
)
def test_a_wrong_file_of_users_is_refused(private: Private, content: str, message: str) -> None:
    """A bad hash would let in nobody, or too easily: it is named by its line."""
    path = private("users", content)

    with pytest.raises(SettingError) as raised:
        authenticator(basic=path)

    assert str(raised.value).startswith(f"{BASIC_VARIABLE}={path}: {message}")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", ["absent", "."])
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    """What is not there, or a folder, is named."""
    path = str(tmp_path / name)

    with pytest.raises(SettingError, match=r"name a file that is there|is no plain file"):
        authenticator(bearer=path)


def test_without_bcrypt_the_refusal_says_what_to_install(
    private: Private, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passwords are an extra of the distribution."""
    path = private("users", f"prom:{HASH}")
    monkeypatch.setitem(sys.modules, "bcrypt", None)

    with pytest.raises(SettingError) as raised:
        authenticator(basic=path)

    assert str(raised.value) == (
        f"{BASIC_VARIABLE}={path}: needs bcrypt; pip install 'otel-metrics[auth]'"
    )


def test_failures_are_counted_without_saying_whose(private: Private) -> None:
    """An operator sees how many, and by kind what became of them."""
    errors = Tally()
    guard = authenticator(bearer=private("tokens", TOKEN), errors=errors)
    for _ in range(FAILURES_MAX + 3):
        guard.refusal(asked("Bearer wrong"))

    assert errors.counts() == {"auth": FAILURES_MAX, "throttled": 3}


def test_a_peer_that_fails_too_often_is_told_to_wait(private: Private) -> None:
    """After ten failures in a minute nothing more of it is looked at; others are not concerned."""
    guard = authenticator(bearer=private("tokens", TOKEN))
    statuses = []
    for given_token in ["wrong"] * (FAILURES_MAX + 1) + [TOKEN]:
        refusal = guard.refusal(asked(f"Bearer {given_token}"))
        statuses.append(refusal and (refusal.status, refusal.extra[0][0]))

    assert statuses[:FAILURES_MAX] == [(401, "WWW-Authenticate")] * FAILURES_MAX
    assert statuses[FAILURES_MAX:] == [(429, "Retry-After")] * 2
    assert guard.refusal(asked(f"Bearer {TOKEN}", peer="192.0.2.2")) is None


def test_a_peer_is_listened_to_again_after_a_minute() -> None:
    """The minute is counted from the oldest of the last ten failures."""
    throttle = Throttle()
    for number in range(FAILURES_MAX):
        throttle.note("192.0.2.1", float(number))

    waits = [throttle.wait_s("192.0.2.1", at) for at in (9.0, 59.0, 60.0)]
    assert waits == [WINDOW_S - 9, 1.0, 0.0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2", True),
    ],
)
def test_a_network_of_one_customer_is_one_peer(one: str, other: str, same: bool) -> None:
    """Somebody with 2**64 addresses has no more attempts than somebody with one."""
    throttle = Throttle()
    for _ in range(FAILURES_MAX):
        throttle.note(one, 0.0)

    assert (throttle.wait_s(other, 1.0) > 0) is same


def test_peers_are_forgotten_before_they_fill_the_memory() -> None:
    """The table has a bound; who failed last stays in it."""
    throttle = Throttle()
    for number in range(3 * PEERS_MAX):
        throttle.note(f"peer {number}", 0.0)

    assert len(throttle) == PEERS_MAX


@pytest.mark.slow
def test_remembered_passwords_have_a_bound() -> None:
    """Many users cost no more memory than a hundred, and all are let in."""
    users = parse_users(b"\n".join(b"u%d:%s" % (n, HASH.encode()) for n in range(KNOWN_MAX + 5)))
    passwords = Passwords(BASIC_VARIABLE, "users")

    assert all(passwords.holds(users, user, b"pass:word") for user in users)
    assert passwords.remembered == KNOWN_MAX


def test_a_name_and_a_password_are_told_apart() -> None:
    """What was right for one user and password is not remembered for another pair of same text."""
    users = parse_users(f"a:{HASH}".encode())
    passwords = Passwords(BASIC_VARIABLE, "users")

    assert passwords.holds(users, b"a", b"pass:word")
    assert not passwords.holds(users, b"ap", b"ass:word")


@pytest.mark.slow
def test_passwords_are_checked_one_at_a_time(private: Private) -> None:
    """Twenty guesses at once have one core busy, and each is answered."""
    guard = authenticator(basic=private("users", f"prom:{HASH}"))

    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda n: guard.refusal(asked(basic("prom", str(n)), peer=f"192.0.2.{n}")),
                range(20),
            )
        )

    assert {answer.status for answer in answers if answer} <= {401, 503}
    assert None not in answers
