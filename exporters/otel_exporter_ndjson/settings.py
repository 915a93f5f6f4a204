"""The exporter's settings: `Mapping[str, str]` -> frozen `Settings`, and what was wrong on the way.

Pure: the environment is handed in. A bad value of a variable is a `Problem` and its default is
used; the same value as an argument is a `SettingError`.
"""

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from otel_exporter_ndjson.errors import SettingError

__all__ = [
    "OTEL_EXPORTER_NDJSON_ALLOW_NETWORK_FS",
    "OTEL_EXPORTER_NDJSON_COMPRESSION",
    "OTEL_EXPORTER_NDJSON_DIR_MODE",
    "OTEL_EXPORTER_NDJSON_FILE_MODE",
    "OTEL_EXPORTER_NDJSON_FREE_BYTES_MIN",
    "OTEL_EXPORTER_NDJSON_PATH",
    "OTEL_EXPORTER_NDJSON_RETENTION_AGE",
    "OTEL_EXPORTER_NDJSON_RETENTION_BYTES",
    "OTEL_EXPORTER_NDJSON_ROTATE_BYTES",
    "OTEL_EXPORTER_NDJSON_ROTATE_INTERVAL",
    "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE",
    "OTEL_EXPORTER_NDJSON_SYNC",
    "OTEL_EXPORTER_NDJSON_SYNC_INTERVAL",
    "VARIABLES",
    "Problem",
    "Settings",
    "Variable",
    "duration",
    "from_arguments",
    "from_environ",
]

OTEL_EXPORTER_NDJSON_PATH: Final = "OTEL_EXPORTER_NDJSON_PATH"
"""The folder of the archive. Default `./telemetry`."""
OTEL_EXPORTER_NDJSON_SYNC: Final = "OTEL_EXPORTER_NDJSON_SYNC"
"""When what was written is forced to the disk: `interval` (default), `always` or `never`."""
OTEL_EXPORTER_NDJSON_SYNC_INTERVAL: Final = "OTEL_EXPORTER_NDJSON_SYNC_INTERVAL"
"""The longest time that a written record waits for the disk in mode `interval`. Default `1s`."""
OTEL_EXPORTER_NDJSON_ROTATE_BYTES: Final = "OTEL_EXPORTER_NDJSON_ROTATE_BYTES"
"""A segment that reaches this size is sealed and a new one begun. Default `64MiB`."""
OTEL_EXPORTER_NDJSON_ROTATE_INTERVAL: Final = "OTEL_EXPORTER_NDJSON_ROTATE_INTERVAL"
"""A segment of this age is sealed and a new one begun. Default `1h`."""
OTEL_EXPORTER_NDJSON_COMPRESSION: Final = "OTEL_EXPORTER_NDJSON_COMPRESSION"
"""What a sealed segment is compressed with: `zstd` (default) or `none`."""
OTEL_EXPORTER_NDJSON_RETENTION_AGE: Final = "OTEL_EXPORTER_NDJSON_RETENTION_AGE"
"""Sealed segments whose records are all older are removed. Default `none`: nothing ever is."""
OTEL_EXPORTER_NDJSON_RETENTION_BYTES: Final = "OTEL_EXPORTER_NDJSON_RETENTION_BYTES"
"""The oldest sealed segments of a service beyond this size are removed. Default `none`."""
OTEL_EXPORTER_NDJSON_FREE_BYTES_MIN: Final = "OTEL_EXPORTER_NDJSON_FREE_BYTES_MIN"
"""Below this much free disk nothing is written: metrics stop first, events at half of it.
Default: the smaller of 1 GiB and 5 % of the file system."""
OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE: Final = "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE"
"""A file with the key that seals are signed with. Default: none, seals carry a hash only."""
OTEL_EXPORTER_NDJSON_FILE_MODE: Final = "OTEL_EXPORTER_NDJSON_FILE_MODE"
"""Permissions of new files, in octal, whatever the umask. Default `0640`."""
OTEL_EXPORTER_NDJSON_DIR_MODE: Final = "OTEL_EXPORTER_NDJSON_DIR_MODE"
"""Permissions of new folders, in octal, whatever the umask. Default `0750`."""
OTEL_EXPORTER_NDJSON_ALLOW_NETWORK_FS: Final = "OTEL_EXPORTER_NDJSON_ALLOW_NETWORK_FS"
"""Whether the archive may lie on NFS, SMB, FUSE or 9p, where locks and fsync promise less.
Default `false`."""

_PREFIX: Final = "OTEL_EXPORTER_NDJSON_"
_MILLISECONDS: Final = {
    "": 1,
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "min": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_QUANTITY = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([a-zA-Z]*)", re.ASCII)
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})

ROTATE_BYTES_MIN: Final = 4096
ROTATE_BYTES_MAX: Final = 2**30
"""A reader holds to a cap as well, so that a segment can always be read."""
SYNC_INTERVAL_MIN_S: Final = 0.001
DURATION_MAX_S: Final = 10**9
"""31 years; a thread cannot wait for much longer than nine times that."""
ROTATE_INTERVAL_MIN_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an archive is written with. Times are in seconds, sizes in bytes.

    `free_bytes_min` of None means the smaller of 1 GiB and 5 % of the file system.
    """

    path: str = "./telemetry"
    sync: Literal["interval", "always", "never"] = "interval"
    sync_interval_s: float = 1.0
    rotate_bytes: int = 64 * 2**20
    rotate_interval_s: float = 3600.0
    compression: Literal["zstd", "none"] = "zstd"
    retention_age_s: float | None = None
    retention_bytes: int | None = None
    free_bytes_min: int | None = None
    seal_key_file: str | None = None
    file_mode: int = 0o640
    dir_mode: int = 0o750
    allow_network_fs: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A variable that cannot be used as it is.

    `message` says what is accepted and what is used instead.
    """

    variable: str
    value: str
    message: str

    def __str__(self) -> str:
        return f"{self.variable}={self.value}: {self.message}"


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable, as the reference page shows it."""

    name: str
    default: str
    meaning: str
    field: str
    parse: Callable[[str], object]

    @property
    def argument(self) -> str:
        """The keyword of the exporters' constructors that says the same."""
        return self.name.removeprefix(_PREFIX).lower()


def from_environ(environ: Mapping[str, str]) -> tuple[Settings, tuple[Problem, ...]]:
    """Read every `OTEL_EXPORTER_NDJSON_*` variable; empty means unset. Never raises."""
    values: dict[str, object] = {}
    problems = [*_unknown(environ)]
    for variable in VARIABLES:
        text = environ.get(variable.name, "").strip()
        if not text:
            continue
        try:
            values[variable.field] = variable.parse(text)
        except ValueError as error:
            problems.append(
                Problem(variable.name, text, f"{error}; {variable.default} is used instead")
            )
    return dataclasses.replace(Settings(), **values), tuple(problems)  # type: ignore[arg-type] # checked by each parser


def from_arguments(settings: Settings, arguments: Mapping[str, object]) -> Settings:
    """Return `settings` with the arguments that are not None; raise `SettingError` for a bad one.

    A value may be what YAML gives: a number, a boolean or text with a unit.
    """
    values: dict[str, object] = {}
    for variable in VARIABLES:
        given = arguments.get(variable.argument)
        if given is None:
            continue
        text = _text(variable.argument, given)
        try:
            values[variable.field] = variable.parse(text)
        except ValueError as error:
            raise SettingError(f"{variable.argument}={text}: {error}") from None
    return dataclasses.replace(settings, **values)  # type: ignore[arg-type] # checked by each parser


def _text(argument: str, given: object) -> str:
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, int) and argument.endswith("_mode"):
        return oct(given)
    if isinstance(given, str | int | float | os.PathLike):
        return str(given)
    raise SettingError(f"{argument}={given!r}: is no text, number or path; see its documentation")


def _unknown(environ: Mapping[str, str]) -> list[Problem]:
    known = [variable.name for variable in VARIABLES]
    problems = []
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            # What a misspelt variable holds may be a secret, and a problem is logged.
            problems.append(Problem(name, "***", f"no such variable; {hint}"))
    return problems


def _path(text: str) -> str:
    if "\0" in text:
        raise ValueError("a path holds no NUL")
    return os.path.expanduser(text)


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() in choices:
            return text.lower()
        near = difflib.get_close_matches(text.lower(), choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"accepted are {', '.join(choices)}{hint}")

    return parse


def duration(least_s: float = 0.0) -> Callable[[str], float]:
    """Return the parser of a time, into seconds: milliseconds, or a number with its unit."""

    def parse(text: str) -> float:
        seconds = _quantity(text, _MILLISECONDS, "milliseconds, or a time such as 2s or 30d") / 1000
        if not least_s <= seconds <= DURATION_MAX_S:
            raise ValueError(f"must be {least_s:g} s or more, and at most {DURATION_MAX_S} s")
        return seconds

    return parse


def _size(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        size = int(_quantity(text, _BYTES, "bytes, or a size such as 64MiB"))
        if not least <= size <= most:
            raise ValueError(f"must be {least} to {most} bytes")
        return size

    return parse


def _quantity(text: str, units: Mapping[str, int], accepted: str) -> float:
    match = _QUANTITY.fullmatch(text)
    factor = units.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f"accepted are {accepted}")
    return float(match[1]) * factor if "." in match[1] else int(match[1]) * factor


def _or_none(parse: Callable[[str], object]) -> Callable[[str], object]:
    return lambda text: None if text.lower() == "none" else parse(text)


def _mode(required: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            mode = int(text, 8)
        except ValueError:
            raise ValueError("accepted are octal permissions such as 0640") from None
        if mode & ~0o777 or mode & required != required or mode & 0o002:
            raise ValueError(
                f"must let the owner in ({required:#o}), and not let everyone write (0o002)"
            )
        return mode

    return parse


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    raise ValueError("accepted are true and false")


_ANY_SIZE: Final = _size(0, 2**63 - 1)

VARIABLES: Final = (
    Variable(OTEL_EXPORTER_NDJSON_PATH, "./telemetry", "The folder of the archive.", "path", _path),
    Variable(
        OTEL_EXPORTER_NDJSON_SYNC,
        "interval",
        "When what was written is forced to the disk: at least once an `interval`, `always` before "
        "a call returns (callers share an fsync, and wait for it at most 5 s), or `never`.",
        "sync",
        _choice("interval", "always", "never"),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_SYNC_INTERVAL,
        "1s",
        "The longest time that a written record waits for the disk in mode `interval`.",
        "sync_interval_s",
        duration(SYNC_INTERVAL_MIN_S),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_ROTATE_BYTES,
        "64MiB",
        "A segment that reaches this size is sealed and a new one begun.",
        "rotate_bytes",
        _size(ROTATE_BYTES_MIN, ROTATE_BYTES_MAX),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_ROTATE_INTERVAL,
        "1h",
        "A segment of this age is sealed and a new one begun.",
        "rotate_interval_s",
        duration(ROTATE_INTERVAL_MIN_S),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_COMPRESSION,
        "zstd",
        "What a sealed segment is compressed with: `zstd` or `none`.",
        "compression",
        _choice("zstd", "none"),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_RETENTION_AGE,
        "none",
        "Sealed segments whose records are all older than this are removed, and the audit says so.",
        "retention_age_s",
        _or_none(duration(0)),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_RETENTION_BYTES,
        "none",
        "The oldest sealed segments of a service beyond this size on disk are removed, and the "
        "audit says so.",
        "retention_bytes",
        _or_none(_ANY_SIZE),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_FREE_BYTES_MIN,
        "the smaller of 1 GiB and 5 %",
        "Below this much free disk nothing is written: metrics stop first, events at half of it.",
        "free_bytes_min",
        _ANY_SIZE,
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE,
        "none",
        "A file with the key that seals are signed with, mode 0600; `otel-metrics archive keygen` "
        "makes one. A key that cannot be used closes the archive.",
        "seal_key_file",
        _or_none(_path),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_FILE_MODE,
        "0640",
        "Permissions of new files, in octal, whatever the umask.",
        "file_mode",
        _mode(0o600),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_DIR_MODE,
        "0750",
        "Permissions of new folders, in octal, whatever the umask.",
        "dir_mode",
        _mode(0o700),
    ),
    Variable(
        OTEL_EXPORTER_NDJSON_ALLOW_NETWORK_FS,
        "false",
        "Whether the archive may lie on NFS, SMB, FUSE or 9p, where locks and fsync promise less.",
        "allow_network_fs",
        _boolean,
    ),
)
"""Every variable of this package, in the order of the reference page."""
