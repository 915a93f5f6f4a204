"""The kill switch: while its file exists, or the variable says so, nothing runs.

Any process may make the file, with `touch` too. A file that cannot be looked for counts as there.
"""

import contextlib
import json
import os
import secrets
from typing import Final

__all__ = ["Switch"]

FILE_MODE: Final = 0o644
SAID_BYTES_MAX: Final = 4_096
"""What is read of the file."""


class Switch:
    """The kill switch of one file.

    Args:
        path: the file.
        held: whether the variable OTEL_PYTHON_METRICS_REMEDIATION_STOP says to stop.
    """

    def __init__(self, path: str, *, held: bool = False) -> None:
        self.path = path
        self._held = held

    def is_on(self) -> bool:
        """Tell whether nothing may run."""
        if self._held:
            return True
        try:
            os.lstat(self.path)
        except FileNotFoundError:
            return not self._could_be_made()
        except OSError:
            return True
        return True

    def why(self) -> str:
        """Say in words why nothing may run; empty where it may."""
        if self._held:
            return "OTEL_PYTHON_METRICS_REMEDIATION_STOP is true"
        if not self.is_on():
            return ""
        if not self._could_be_made():
            return f"{os.path.dirname(self.path)} is not there, for the stop file"
        said = self._said()
        return f"{self.path} exists{f': {said}' if said else ''}"

    def turn_on(self, *, actor: str, reason: str) -> None:
        """Make the file, saying who did so and why.

        Raises:
            OSError: it cannot be made, and nothing is stopped by it.
        """
        unfinished = f"{self.path}.{secrets.token_hex(8)}"
        text = json.dumps({"actor": actor, "reason": reason}) + "\n"
        descriptor = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.replace(unfinished, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(unfinished)
            raise

    def turn_off(self) -> bool:
        """Remove the file, and tell whether there was one.

        Raises:
            OSError: it cannot be removed.
        """
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            return False
        return True

    def _could_be_made(self) -> bool:
        """Tell whether its folder is there; without, nobody could stop anything."""
        return os.path.isdir(os.path.dirname(os.path.abspath(self.path)))

    def _said(self) -> str:
        """Return who turned it on and why, where the file says so; it is anybody's text."""
        try:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(self.path, flags), "rb") as file:
                told = json.loads(file.read(SAID_BYTES_MAX))
            return f"{told['actor']}: {told['reason']}".encode("unicode_escape").decode()
        except (OSError, ValueError, KeyError, TypeError):
            return ""
