"""The environment variables of OTLP: name, default and meaning, for the reference page and for
whoever spells one wrong."""

import difflib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

__all__ = ["PREFIX", "VARIABLES", "Variable", "misspelt"]

PREFIX: Final = "OTEL_EXPORTER_OTLP_"


class Variable(NamedTuple):
    """One environment variable, as the reference page shows it."""

    name: str
    default: str
    meaning: str


_GENERAL: Final = (
    (
        "ENDPOINT",
        "http://localhost:4317 (gRPC), http://localhost:4318 (HTTP)",
        (
            "Where telemetry goes. Over HTTP, `/v1/metrics` or `/v1/logs` is appended. A gRPC "
            "endpoint without `http://` is spoken to by TLS. User and password become a header."
        ),
    ),
    ("PROTOCOL", "grpc", "`grpc` or `http/protobuf`."),
    ("HEADERS", "unset", "Sent with each request: `name=value,name=value`, URL-encoded."),
    (
        "TIMEOUT",
        "10",
        (
            "Time that one export may take, with connecting, retries and reading the reply. A "
            "number is seconds, as in upstream's Python exporters, although the specification says "
            "milliseconds; or a time such as `500ms`."
        ),
    ),
    ("COMPRESSION", "none", "`none`, `gzip`, or over HTTP `deflate`."),
    (
        "INSECURE",
        "unset",
        "gRPC only: `true` speaks without TLS to an endpoint that does not begin with `https://`.",
    ),
    ("CERTIFICATE", "the system's", "File with the certificates that a server is verified with."),
    ("CLIENT_KEY", "unset", "File with the private key of the client's certificate."),
    ("CLIENT_CERTIFICATE", "unset", "File with the certificate that the client shows."),
)

VARIABLES: Final[tuple[Variable, ...]] = (
    *(Variable(PREFIX + name, default, meaning) for name, default, meaning in _GENERAL),
    *(
        Variable(
            f"{PREFIX}{signal}_{name}",
            f"{PREFIX}{name}",
            f"The same for {signal.lower()} alone"
            + ("; over HTTP used as it is." if name == "ENDPOINT" else "."),
        )
        for signal in ("METRICS", "LOGS")
        for name, _, _ in _GENERAL
    ),
    Variable(
        f"{PREFIX}METRICS_TEMPORALITY_PREFERENCE",
        "cumulative",
        "`cumulative`; `delta` for counters and histograms; `lowmemory` for the synchronous ones.",
    ),
    Variable(
        f"{PREFIX}METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "explicit_bucket_histogram",
        "`explicit_bucket_histogram` or `base2_exponential_bucket_histogram`.",
    ),
)
"""Every variable of OTLP that is honoured here, in the order of the reference page."""


def misspelt(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each name that is no variable of OTLP but much like one, and that one."""
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in _KNOWN:
            near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.9)
            if near:
                yield name, near[0]


_KNOWN: Final = (
    *(variable.name for variable in VARIABLES),
    *(f"{PREFIX}TRACES_{name}" for name, _, _ in _GENERAL),
)
