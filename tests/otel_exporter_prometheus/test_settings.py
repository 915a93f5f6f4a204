"""Settings: one pure function, problems in sentences, and never less safe than what was asked."""

import pytest

from otel_exporter_prometheus import settings as module
from otel_exporter_prometheus.errors import SettingError
from otel_exporter_prometheus.settings import (
    VARIABLES,
    Settings,
    from_arguments,
    from_environ,
    is_loopback,
)

PREFIX = "OTEL_EXPORTER_PROMETHEUS_"


def test_nothing_set_gives_the_defaults() -> None:
    """Without variables the page listens on localhost:9464, and nothing is reported."""
    assert from_environ({}) == (Settings(host="localhost", port=9464), ())


def test_empty_means_unset() -> None:
    """An empty variable is as good as none."""
    empty = {variable.name: " " for variable in VARIABLES}

    assert from_environ(empty) == (Settings(), ())


def test_every_variable_is_read() -> None:
    """Each variable reaches its field."""
    environ = {
        PREFIX + "HOST": "[::1]",
        PREFIX + "PORT": "0",
        PREFIX + "BEARER_TOKEN_FILE": "/token",
        PREFIX + "BASIC_AUTH_FILE": "/users",
        PREFIX + "TLS_CERT_FILE": "/cert",
        PREFIX + "TLS_KEY_FILE": "/key",
        PREFIX + "ALLOW_UNAUTHENTICATED": "TRUE",
    }

    assert from_environ(environ) == (
        Settings(
            host="::1",
            port=0,
            bearer_token_file="/token",
            basic_auth_file="/users",
            tls_cert_file="/cert",
            tls_key_file="/key",
            allow_unauthenticated=True,
        ),
        (),
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("PORT", "94640", "accepted are 0 (any free port) to 65535; 9464 is used instead"),
        ("PORT", "-1", "accepted are 0 (any free port) to 65535; 9464 is used instead"),
        ("PORT", "http", "accepted are 0 (any free port) to 65535; 9464 is used instead"),
        ("PORT", "٣", "accepted are 0 (any free port) to 65535; 9464 is used instead"),
        (
            "HOST",
            "http://localhost",
            (
                "accepted is a host name or an address, without scheme, port or path; localhost is"
                " used instead"
            ),
        ),
        (
            "HOST",
            "localhost:80",
            (
                "accepted is a host name or an address; the port has its own setting; localhost is"
                " used instead"
            ),
        ),
        (
            "ALLOW_UNAUTHENTICATED",
            "ture",
            "accepted are true and false, did you mean true?; false is used instead",
        ),
    ],
)
def test_a_bad_value_falls_back_to_the_default(variable: str, value: str, message: str) -> None:
    """A bad value is reported with what is accepted and what is used instead."""
    settings, problems = from_environ({PREFIX + variable: value})

    assert settings == Settings()
    assert [str(problem) for problem in problems] == [f"{PREFIX}{variable}={value}: {message}"]


def test_an_unknown_variable_gets_a_hint() -> None:
    """A typing error in a variable's name is found; its value, maybe a secret, is not told."""
    _, problems = from_environ({PREFIX + "PROT": "1"})

    assert [str(problem) for problem in problems] == [
        f"{PREFIX}PROT=***: no such variable; did you mean {PREFIX}PORT?"
    ]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "locahost"])
def test_a_host_beyond_this_machine_closes_the_page(host: str) -> None:
    """An open address without authentication is refused with what to do."""
    settings, problems = from_environ({PREFIX + "HOST": host})

    assert settings.refusal == str(problems[0])
    assert "without authentication" in str(problems[0])
    assert PREFIX + "ALLOW_UNAUTHENTICATED=true" in str(problems[0])
    assert ("did you mean localhost?" in str(problems[0])) == (host == "locahost")


def test_an_open_host_is_served_when_told_so() -> None:
    """Who says that no authentication is needed gets an open page."""
    environ = {PREFIX + "HOST": "0.0.0.0", PREFIX + "ALLOW_UNAUTHENTICATED": "true"}

    settings, problems = from_environ(environ)

    assert (settings.refusal, problems) == (None, ())


@pytest.mark.parametrize("variable", ["BEARER_TOKEN_FILE", "BASIC_AUTH_FILE"])
def test_an_authenticated_page_may_be_reached_by_others(variable: str) -> None:
    """Who sets a file of credentials may listen on any address."""
    settings, problems = from_environ({PREFIX + "HOST": "0.0.0.0", PREFIX + variable: "/secret"})

    assert (settings.authenticated, settings.refusal, problems) == (True, None, ())


@pytest.mark.parametrize(
    ("given", "missing"), [("TLS_CERT_FILE", "TLS_KEY_FILE"), ("TLS_KEY_FILE", "TLS_CERT_FILE")]
)
def test_half_of_tls_closes_the_page(given: str, missing: str) -> None:
    """A page that was to be encrypted is not served without."""
    settings, problems = from_environ({PREFIX + given: "/pem"})

    said = f"{PREFIX}{given}=/pem: {PREFIX}{missing} is missing; set both, or neither"
    assert (settings.refusal, [str(each) for each in problems]) == (said, [said])


def test_arguments_win_over_variables() -> None:
    """What is said in code is used, whatever the environment says."""
    settings = from_arguments(Settings(port=1), {"port": 2, "host": None})

    assert settings == Settings(port=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": 70000}, "port=70000: accepted are 0"),
        ({"host": "0.0.0.0"}, "HOST=0.0.0.0: others than this machine"),
        ({"allow_unauthenticated": "maybe"}, "accepted are true and false"),
        ({"tls_cert_file": "/t"}, "TLS_KEY_FILE is missing"),
    ],
)
def test_a_bad_argument_raises(arguments: dict[str, object], message: str) -> None:
    """A bad argument is an error at once."""
    with pytest.raises(SettingError, match=message):
        from_arguments(Settings(), arguments)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only addresses that nobody else reaches count as loopback."""
    assert is_loopback(host) is expected


def test_every_variable_is_a_documented_constant() -> None:
    """Each variable of the table is a constant whose value is its name."""
    names = {name for name in module.__all__ if name.startswith("OTEL_")}

    assert names == {variable.name for variable in VARIABLES}
    assert all(getattr(module, name) == name for name in names)
