"""The functions of this process that operators may bind playbooks to, by their names.

Light to import, as services register before anything is started.

Threads: the registry is a dictionary of which each use is one step; a forked child has what its
parent had.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["FUNCTIONS_MAX", "REGISTERED", "Call", "Function", "register"]

FUNCTIONS_MAX: Final = 1_000
"""Functions that one process may register."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a function is asked to do.

    Attributes:
        parameters: values that the playbook allows.
        run_id: the same where a run is done again.
        stopped: whether the kill switch is on; a function that takes long asks it now and then.
    """

    parameters: Mapping[str, str | int | float]
    run_id: str
    stopped: Callable[[], bool]


Function = Callable[[Call], object]

REGISTERED: Final[dict[str, Function]] = {}
"""The functions of this process, by their names."""


def register(name: str, function: Function) -> None:
    """Let operators bind playbooks to a function of this service, as `callable: {name: NAME}`.

    A function of the same name is replaced. It fails where it raises or returns False; a text that
    it returns is kept with the run.

    Raises:
        ValueError: the name is none, or the function cannot be called.

    >>> register("drain", lambda call: f"drained {call.parameters['target']}")
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name={name!r}: is no name; use letters, digits, '_', '.', '-'")
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ValueError(f"function of {name!r}: cannot be called; give one that is no coroutine")
    if name not in REGISTERED and len(REGISTERED) >= FUNCTIONS_MAX:
        raise ValueError(f"name={name!r}: is one of more than {FUNCTIONS_MAX:,}; register fewer")
    REGISTERED[name] = function
