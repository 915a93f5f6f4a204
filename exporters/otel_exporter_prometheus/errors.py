"""The errors that this package raises on purpose, in one short tree.

    PrometheusError
    ├── SettingError    an argument is wrong (also a `ValueError`)
    ├── ListenError     the page cannot be opened (also an `OSError`)
    └── StateError      the folder in which processes find each other is unsafe (also an `OSError`)

Nothing is raised once the page is open: what goes wrong then is counted.
"""

import errno

__all__ = ["ListenError", "PrometheusError", "SettingError", "StateError"]


class PrometheusError(Exception):
    """Everything that this package raises on purpose."""


class SettingError(PrometheusError, ValueError):
    """An argument is wrong; the message is `SETTING=value: what is wrong; what to do`."""


class ListenError(PrometheusError, OSError):
    """The page cannot be opened; the message names host, port and what to do."""

    @property
    def is_taken(self) -> bool:
        """Whether the port is somebody else's just now."""
        return isinstance(self.__cause__, OSError) and self.__cause__.errno == errno.EADDRINUSE


class StateError(PrometheusError, OSError):
    """The folder in which processes find each other cannot be used; the message says why."""
