"""The file of actors: what is read, what is refused, and who is let in by it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_exporter_prometheus.errors import SettingError
from otel_exporter_prometheus.protocol import Answer, Request
from otel_metrics.remediation.actors import is_reserved
from otel_metrics.web.actors import Actor, Actors, Closed, actors, parse

ALICE = "0123456789abcdef"
BOT = "fedcba9876543210"
FILE = f"""\
# who may do what
alice:approve:{ALICE}
alertmanager:alert:{BOT}
"""


def written(folder: Path, text: str = FILE, mode: int = 0o600) -> str:
    """Write a file of actors, as one that replaces the one before."""
    new = folder / "actors.new"
    new.touch(mode=0o600)
    new.write_text(text)
    new.chmod(mode)
    new.rename(folder / "actors")
    return str(folder / "actors")


def asking(*authorizations: str, peer: str = "192.0.2.1") -> Request:
    return Request("GET", "/", (), {"authorization": authorizations}, peer)


def status(found: Actor | Answer) -> int:
    assert isinstance(found, Answer)
    return found.status


def test_a_token_says_who_asks(tmp_path: Path) -> None:
    """By its name and its role."""
    known = Actors(written(tmp_path))

    assert known.who(asking(f"Bearer {ALICE}")) == Actor("alice", "approve")
    assert known.who(asking(f"bearer {BOT}")) == Actor("alertmanager", "alert")


@pytest.mark.parametrize(
    "authorizations",
    [
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        (f"Bearer {ALICE[:-1]}",),
        (f"Bearer {ALICE}x",),
        (f"Basic {ALICE}",),
        ("Bearer é",),
        ("Bearer 中文",),
        (f"Bearer alice:approve:{ALICE}",),
        (f"Bearer {ALICE}", f"Bearer {ALICE}"),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same(
    tmp_path: Path, authorizations: tuple[str, ...]
) -> None:
    """So that nobody learns how near a guess was."""
    answer = Actors(written(tmp_path)).who(asking(*authorizations))

    assert isinstance(answer, Answer)
    assert (answer.status, answer.body, answer.extra) == (
        401,
        b'{"error": "the token is missing or wrong; send `Authorization: Bearer TOKEN`"}\n',
        (("WWW-Authenticate", 'Bearer realm="governance"'),),
    )


def test_who_guesses_is_not_listened_to(tmp_path: Path) -> None:
    """After ten failures in a minute, with a right token neither; others are."""
    known = Actors(written(tmp_path))
    found = [status(known.who(asking("Bearer wrong"))) for _ in range(11)]

    assert found == [401] * 10 + [429]
    assert status(known.who(asking(f"Bearer {ALICE}"))) == 429
    assert known.who(asking(f"Bearer {ALICE}", peer="192.0.2.2")) == Actor("alice", "approve")


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """A token that was taken out no longer opens, and a new one does."""
    known = Actors(written(tmp_path))
    written(tmp_path, f"bob:admin:{BOT}\n")

    assert status(known.who(asking(f"Bearer {ALICE}"))) == 401
    assert known.who(asking(f"Bearer {BOT}")) == Actor("bob", "admin")


@pytest.mark.parametrize("change", ["gone", "open to others", "wrong"])
def test_a_file_that_turns_bad_lets_nobody_in(tmp_path: Path, change: str) -> None:
    """What it said before may be what somebody wanted to revoke."""
    known = Actors(path := written(tmp_path))
    match change:
        case "gone":
            os.unlink(path)
        case "open to others":
            written(tmp_path, mode=0o640)
        case _:
            written(tmp_path, "alice\n")

    assert status(known.who(asking(f"Bearer {ALICE}"))) == 401


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names nobody; write a line name:role:token"),
        ("# nobody\n\n", "names nobody; write a line name:role:token"),
        ("alice\n", "line 1 is not name:role:token; write all three"),
        (f"alice:{ALICE}\n", "line 1 is not name:role:token; write all three"),
        (
            f"\nalice:root:{ALICE}\n",
            "line 2 has no role after the name; give read, alert, approve, admin",
        ),
        (
            f":read:{ALICE}\n",
            (
                "line 1 begins with no name that an actor can have; use up to 64 letters, digits "
                "and ._@+-"
            ),
        ),
        (
            f"Recommendation:read:{ALICE}\n",
            (
                "line 1 begins with no name that an actor can have; use up to 64 letters, digits "
                "and ._@+-"
            ),
        ),
        (
            "alice:read:short\n",
            (
                "the token in line 1 is shorter than 16 characters; make one with "
                "`openssl rand -hex 32`"
            ),
        ),
        (
            "alice:read:0123456789 abcdef\n",
            "the token in line 1 holds what no header can; use letters and digits",
        ),
        (
            f"alice:read:{ALICE}\nbob:read:{ALICE}\n",
            "line 2 has a token that another line has; make one with `openssl rand -hex 32`",
        ),
        (
            f"alice:alert:{ALICE}\nAlice:approve:{BOT}\n",
            (
                "line 2 names Alice, and line 1 has alice with role alert; give a name one "
                "spelling and one role"
            ),
        ),
        (
            "".join(f"a{number}:read:{number:016}\n" for number in range(1_001)),
            "has more than 1,000 tokens; remove what is not used",
        ),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, message: str) -> None:
    """By setting, path and line, and without its token."""
    path = written(tmp_path, text)

    with pytest.raises(SettingError) as raised:
        Actors(path)
    assert str(raised.value) == f"OTEL_PYTHON_METRICS_ACTORS_FILE={path}: {message}"


def test_a_name_may_have_two_tokens() -> None:
    """So that one can be changed while the other is in use."""
    found = parse(f"alice:approve:{ALICE}\nalice:approve:{BOT}\n".encode())

    assert list(found.values()) == [Actor("alice", "approve")] * 2


def test_others_must_not_read_the_file(tmp_path: Path) -> None:
    """Who reads a token is who it names."""
    path = written(tmp_path, mode=0o644)

    with pytest.raises(SettingError, match=r"others may read or change it \(mode 0644\)"):
        actors(path)


def test_without_a_file_there_are_none() -> None:
    """Then nothing is asked, and there are no routes."""
    assert actors(None) is None


def test_a_file_of_the_variable_that_is_wrong_closes_the_routes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A service starts whatever its variables say; the log says what is wrong."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_ACTORS_FILE", str(tmp_path / "absent"))
    found = actors(None)

    assert isinstance(found, Closed)
    assert status(found.who(asking(f"Bearer {ALICE}"))) == 503
    assert caplog.messages == [
        (
            f"OTEL_PYTHON_METRICS_ACTORS_FILE={tmp_path}/absent: No such file or directory; name "
            "a file that is there and that this user may read; routes that need a token of it stay "
            "closed"
        )
    ]


_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", fullmatch=True).filter(
    lambda name: not is_reserved(name)
)
_tokens = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=16, max_size=64
).filter(lambda token: token.strip() == token)


@given(
    st.dictionaries(
        _tokens,
        st.tuples(_names, st.sampled_from(["read", "alert", "approve", "admin"])),
        min_size=1,
        max_size=8,
    )
)
def test_what_was_written_is_read(lines: dict[str, tuple[str, str]]) -> None:
    """Whatever characters a token has, a colon among them."""
    by_name = {name.lower(): (name, role) for name, role in lines.values()}
    said = {token: by_name[name.lower()] for token, (name, _) in lines.items()}
    text = "".join(f"{name}:{role}:{token}\n" for token, (name, role) in said.items())

    found = parse(text.encode())

    assert {token.decode(): (actor.name, actor.role) for token, actor in found.items()} == said


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    """With a message, and by no other error."""
    try:
        found = parse(content)
    except ValueError as error:
        assert str(error)
    else:
        assert found
