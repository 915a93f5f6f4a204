"""Every variable: what is accepted, and what is said of what is not."""

from dataclasses import asdict

import pytest

import otel_exporter_ndjson.settings as module
from otel_exporter_ndjson import Settings
from otel_exporter_ndjson.settings import VARIABLES, from_environ

PREFIX = "OTEL_EXPORTER_NDJSON_"


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("PATH", "/var/lib/telemetry", "path", "/var/lib/telemetry"),
        ("SYNC", "Never", "sync", "never"),
        ("SYNC_INTERVAL", "250", "sync_interval_s", 0.25),
        ("SYNC_INTERVAL", "1.5s", "sync_interval_s", 1.5),
        ("ROTATE_BYTES", "1048576", "rotate_bytes", 2**20),
        ("ROTATE_BYTES", "16 MiB", "rotate_bytes", 2**24),
        ("ROTATE_BYTES", "1MB", "rotate_bytes", 10**6),
        ("ROTATE_INTERVAL", "2h", "rotate_interval_s", 7200.0),
        ("COMPRESSION", "none", "compression", "none"),
        ("FREE_BYTES_MIN", "0", "free_bytes_min", 0),
        ("FILE_MODE", "0600", "file_mode", 0o600),
        ("DIR_MODE", "700", "dir_mode", 0o700),
        ("ALLOW_NETWORK_FS", "TRUE", "allow_network_fs", True),
        ("RETENTION_AGE", "none", "retention_age_s", None),
        ("SYNC", "", "sync", "interval"),
    ],
)
def test_accepted_values(variable: str, text: str, field: str, value: object) -> None:
    """Numbers are milliseconds or bytes, or have a unit; empty means unset."""
    settings, problems = from_environ({PREFIX + variable: text})

    assert problems == ()
    assert asdict(settings) == {**asdict(Settings()), field: value}


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("SYNC", "nevr", "did you mean never?; interval is used instead"),
        ("SYNC", "alway", "accepted are interval, always, never; did you mean always?"),
        ("SYNC_INTERVAL", "soon", "accepted are milliseconds, or a time such as 2s"),
        ("SYNC_INTERVAL", "-1", "accepted are milliseconds"),
        ("SYNC_INTERVAL", "0", "must be 0.001 s or more"),
        ("ROTATE_BYTES", "64 parsecs", "64MiB is used instead"),
        ("ROTATE_BYTES", "1", "must be 4096 to 1073741824 bytes"),
        ("FILE_MODE", "rw-r-----", "octal permissions such as 0640"),
        ("DIR_MODE", "0777", "not let everyone write"),
        ("ALLOW_NETWORK_FS", "perhaps", "accepted are true and false"),
    ],
)
def test_refused_values_are_told_and_the_default_is_used(
    variable: str, text: str, message: str
) -> None:
    """One problem that names variable, value, what is accepted and what is used instead."""
    settings, (problem,) = from_environ({PREFIX + variable: text})

    assert settings == Settings()
    assert (problem.variable, problem.value) == (PREFIX + variable, text)
    assert message in problem.message
    assert str(problem).startswith(f"{PREFIX}{variable}={text}: ")


def test_an_unknown_variable_gets_a_hint() -> None:
    """A typing error in a variable's name is found; its value, maybe a secret, is not told."""
    _, problems = from_environ({f"{PREFIX}PAHT": "/x"})

    assert [str(problem) for problem in problems] == [
        f"{PREFIX}PAHT=***: no such variable; did you mean {PREFIX}PATH?"
    ]


def test_every_variable_is_a_constant_of_its_own_name() -> None:
    """The table of variables and the documented constants are the same set."""
    constants = {name for name in module.__all__ if name.startswith(PREFIX)}

    assert constants == {variable.name for variable in VARIABLES}
    assert all(getattr(module, name) == name for name in constants)
