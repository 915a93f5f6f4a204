"""Small libraries that the agents can go through without files."""

from collections.abc import Callable, Mapping

import pytest

from otel_metrics.demo.library import Source, SourceTooLargeError
from otel_metrics.demo.sight import perceive
from otel_metrics.demo.skill import Answer, Finding, Skill, parse

LONG = "def double(x):\n    y = x + x\n    print(y)\n    z = y\n    return z\n"

FILES: Mapping[str, bytes] = {
    "a.py": LONG.encode(),
    "b.py": LONG.encode(),
    "empty.py": b"",
    "future.py": b"x = 1\nfrom __future__ import annotations\n",
    "old.py": b'print "x"\n',
    "open.py": b"x = (\n",
    "secret.py": b'api_key = "0123456789"\n',
}
"""One file for each thing that can come of one; `large.py` is too large."""


@pytest.fixture
def paths() -> list[str]:
    return [*FILES, "large.py"]


@pytest.fixture
def read() -> Callable[[str], Source]:
    def read_one(path: str) -> Source:
        if path == "large.py":
            raise SourceTooLargeError("large.py is longer than 0 KiB")
        return Source(path, FILES[path])

    return read_one


@pytest.fixture
def decide() -> Callable[[Skill, str, str], tuple[str, Finding]]:
    """Return the way by which a skill decides on a text, and its finding."""

    def one(skill: Skill, text: str, path: str = "a.py") -> tuple[str, Finding]:
        sight = perceive(Source(path, text.encode()))
        by_rule = skill.rule(sight)
        return ("rule", by_rule) if by_rule is not None else ("full", skill.analyse(sight))

    return one


@pytest.fixture
def answer() -> Callable[[Skill, str, str], Answer | None]:
    """Return what a skill's check answers on a text."""

    def one(skill: Skill, text: str, path: str = "a.py") -> Answer | None:
        source = Source(path, text.encode())
        return skill.check(source, parse(source))

    return one
