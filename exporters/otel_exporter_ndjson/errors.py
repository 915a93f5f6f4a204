"""The errors that this package raises on purpose, in one short tree.

    NdjsonError
    ├── SettingError         an argument of an exporter is wrong (also a `ValueError`)
    ├── UnsafeArchiveError   a folder or file that we must not write in or follow
    ├── UnencodableError     a record that no line can hold (also a `ValueError`)
    └── DamagedError         bytes of an archive that are not what they should be (a `ValueError`)

An exporter raises only the first, and only from its constructor.
"""

__all__ = ["DamagedError", "NdjsonError", "SettingError", "UnencodableError", "UnsafeArchiveError"]


class NdjsonError(Exception):
    """Everything that this package raises on purpose."""


class SettingError(NdjsonError, ValueError):
    """An argument is wrong; the message is `SETTING=value: what is wrong; what to do`."""


class UnsafeArchiveError(NdjsonError):
    """The archive lies where somebody else could change it; nothing is written there."""


class UnencodableError(NdjsonError, ValueError):
    """A record cannot be written as a line. `reason` is the word that the drop is counted by."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DamagedError(NdjsonError, ValueError):
    """A line or a file of an archive does not hold what its format promises."""
