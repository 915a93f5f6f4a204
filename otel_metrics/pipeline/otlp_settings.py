"""What the OTLP exporters are set to: `Mapping[str, str]` -> frozen `OtlpSettings`, and what was
wrong on the way. Pure: no file is opened and no address is resolved here.

The variables mean what upstream's Python exporters take them to mean. The timeout is therefore in
seconds, although the specification (1.49, protocol/exporter.md) says milliseconds.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypedDict, TypeVar
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation

from otel_metrics.errors import ConfigurationError
from otel_metrics.pipeline.otlp_values import (
    MASK,
    PORT_DEFAULTS,
    TIMEOUT_MAX_S,
    Dialled,
    Headers,
    Protocol,
    parse_boolean,
    parse_choice,
    parse_endpoint,
    parse_header,
    parse_headers,
    parse_path,
    parse_seconds,
    without_secrets,
)
from otel_metrics.pipeline.otlp_variables import PREFIX, misspelt

__all__ = ["Arguments", "OtlpSettings", "Problem", "Signal", "from_arguments", "settings"]

Signal = Literal["metrics", "logs"]
Compression = Literal["none", "gzip", "deflate"]
Temporality = Literal["cumulative", "delta", "lowmemory"]
HistogramAggregation = Literal["explicit_bucket_histogram", "base2_exponential_bucket_histogram"]

TIMEOUT_DEFAULT_S: Final = 10.0
DEFAULT_ENDPOINTS: Final[Mapping[Protocol, str]] = {
    "grpc": "http://localhost:4317",
    "http/protobuf": "http://localhost:4318",
}
PROTOCOLS: Final[tuple[Protocol, ...]] = ("grpc", "http/protobuf")
COMPRESSIONS: Final[Mapping[Protocol, tuple[Compression, ...]]] = {
    "grpc": ("none", "gzip"),  # no collector takes deflate
    "http/protobuf": ("none", "gzip", "deflate"),
}
TEMPORALITIES: Final[tuple[Temporality, ...]] = ("cumulative", "delta", "lowmemory")
AGGREGATIONS: Final[tuple[HistogramAggregation, ...]] = (
    "explicit_bucket_histogram",
    "base2_exponential_bucket_histogram",
)

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Problem:
    """A variable that cannot be used as it is; a secret in its value is masked.

    `message` says what is accepted and what is used instead.
    """

    variable: str
    value: str
    message: str

    def __str__(self) -> str:
        return f"{self.variable}={self.value}: {self.message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpSettings:
    """Where one signal goes, and how.

    Attributes:
        endpoint: the full URL of the signal, or for gRPC a URL or target; without user and
            password, which are among the headers.
        insecure: whether the connection is made without TLS.
        headers: name in lower case and value, in order.
        timeout_s: seconds that one export may take, with everything it waits for.
        certificate: file with the certificates that a server is verified against; None takes the
            system's.
    """

    signal: Signal
    protocol: Protocol
    endpoint: str
    insecure: bool
    headers: Headers = field(default=(), repr=False)
    timeout_s: float = TIMEOUT_DEFAULT_S
    compression: Compression = "none"
    certificate: str | None = None
    client_key: str | None = None
    client_certificate: str | None = None
    temporality: Temporality = "cumulative"
    histogram_aggregation: HistogramAggregation = "explicit_bucket_histogram"

    @property
    def address(self) -> str:
        """Return `host:port`, or a gRPC target, for people to read."""
        url = urlsplit(self.endpoint)
        if not url.netloc:
            return self.endpoint
        port = url.port or (443 if self.protocol == "grpc" else PORT_DEFAULTS[url.scheme])
        host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
        return f"{host}:{port}"

    @property
    def preferred_temporality(self) -> dict[type, AggregationTemporality]:
        """Return the temporality of each instrument that is not exported as cumulative."""
        kinds: dict[Temporality, tuple[type, ...]] = {
            "cumulative": (),
            "delta": (Counter, Histogram, ObservableCounter),
            "lowmemory": (Counter, Histogram),
        }
        return dict.fromkeys(kinds[self.temporality], AggregationTemporality.DELTA)

    @property
    def preferred_aggregation(self) -> dict[type, Aggregation]:
        """Return the aggregation of histograms, where it is not the SDK's own."""
        if self.histogram_aggregation == "explicit_bucket_histogram":
            return {}
        return {Histogram: ExponentialBucketHistogramAggregation()}


class Arguments(TypedDict, total=False):
    """What the exporters of both signals take. An endpoint is used as it is."""

    endpoint: str | None
    headers: Mapping[str, str] | None
    timeout_s: float
    compression: str
    certificate: str | None
    client_key: str | None
    client_certificate: str | None
    insecure: bool | None
    protocol: str


def settings(
    environ: Mapping[str, str], signal: Signal
) -> tuple[OtlpSettings, tuple[Problem, ...]]:
    """Read the settings of a signal; empty means unset.

    A signal's own variable goes before the general one. What cannot be used is a problem, and the
    next in that order, at last the default, is used instead.
    """
    read = _Reader(environ, signal)
    protocol = read.protocol()
    insecure = read.value("INSECURE", parse_boolean, None, shown="what the endpoint says")
    dialled = read.endpoint(protocol)
    headers = read.headers()
    compression = read.value(
        "COMPRESSION", parse_choice(COMPRESSIONS[protocol]), COMPRESSIONS[protocol][0]
    )
    client_key = read.value("CLIENT_KEY", parse_path, None)
    client_certificate = read.value("CLIENT_CERTIFICATE", parse_path, None)
    if client_key and not client_certificate:
        read.problem("CLIENT_KEY", "has no effect without a CLIENT_CERTIFICATE")
    made = OtlpSettings(
        signal=signal,
        protocol=protocol,
        endpoint=dialled.endpoint,
        insecure=dialled.is_insecure(protocol, asked=insecure),
        headers=dialled.authorized(headers),
        timeout_s=read.value("TIMEOUT", parse_seconds, TIMEOUT_DEFAULT_S, shown="10 seconds"),
        compression=compression,
        certificate=read.value("CERTIFICATE", parse_path, None),
        client_key=client_key,
        client_certificate=client_certificate,
        temporality=read.temporality(),
        histogram_aggregation=read.histogram_aggregation(),
    )
    return made, (*_typos(environ), *read.problems)


def from_arguments(
    signal: Signal,
    *,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_DEFAULT_S,
    compression: str = "none",
    certificate: str | None = None,
    client_key: str | None = None,
    client_certificate: str | None = None,
    insecure: bool | None = None,
    protocol: str = "grpc",
    temporality: str = "cumulative",
    histogram_aggregation: str = "explicit_bucket_histogram",
) -> OtlpSettings:
    """Return the settings that arguments say; the endpoint is used as it is.

    Raises:
        ConfigurationError: an argument cannot be used; the message says what is accepted.
    """
    spoken = _argument("protocol", protocol, parse_choice(PROTOCOLS))
    default = _default_endpoint(spoken, signal)
    dialled = _argument("endpoint", endpoint or default, lambda text: parse_endpoint(text, spoken))
    if not 0 < timeout_s <= TIMEOUT_MAX_S:
        raise ConfigurationError(f"timeout_s={timeout_s}: accepted are seconds above zero")
    try:
        kept = dict(parse_header(name, value) for name, value in (headers or {}).items())
    except ValueError as error:
        raise ConfigurationError(f"headers: a header {error}") from None
    return OtlpSettings(
        signal=signal,
        protocol=spoken,
        endpoint=dialled.endpoint,
        insecure=dialled.is_insecure(spoken, asked=insecure),
        headers=dialled.authorized(tuple(kept.items())),
        timeout_s=float(timeout_s),
        compression=_argument("compression", compression, parse_choice(COMPRESSIONS[spoken])),
        certificate=certificate,
        client_key=client_key,
        client_certificate=client_certificate,
        temporality=_argument("temporality", temporality, parse_choice(TEMPORALITIES)),
        histogram_aggregation=_argument(
            "histogram_aggregation", histogram_aggregation, parse_choice(AGGREGATIONS)
        ),
    )


class _Reader:
    """Reads a signal's variables, and keeps what was wrong."""

    def __init__(self, environ: Mapping[str, str], signal: Signal) -> None:
        self._environ = environ
        self._signal: Signal = signal
        self.problems: list[Problem] = []

    def protocol(self) -> Protocol:
        for variable, text in self._set("PROTOCOL"):
            if text.lower() == "http/json":
                message = "not supported; used instead: http/protobuf, on the same endpoint"
                self.problems.append(Problem(variable, text, message))
                return "http/protobuf"
        return self.value("PROTOCOL", parse_choice(PROTOCOLS), PROTOCOLS[0])

    def endpoint(self, protocol: Protocol) -> Dialled:
        path = "" if protocol == "grpc" else f"/v1/{self._signal}"
        default = _default_endpoint(protocol, self._signal)
        return self.value(
            "ENDPOINT",
            lambda text: parse_endpoint(text, protocol),
            parse_endpoint(default, protocol),
            general=lambda text: parse_endpoint(f"{text.removesuffix('/')}{path}", protocol),
            shown=default,
        )

    def headers(self) -> Headers:
        for variable, text in self._set("HEADERS"):
            headers, wrong = parse_headers(text)
            if wrong:
                message = f"{'; '.join(wrong)}; used instead: the other headers"
                self.problems.append(Problem(variable, MASK, message))
            return headers
        return ()

    def temporality(self) -> Temporality:
        if self._signal != "metrics":
            return TEMPORALITIES[0]
        return self.value("TEMPORALITY_PREFERENCE", parse_choice(TEMPORALITIES), TEMPORALITIES[0])

    def histogram_aggregation(self) -> HistogramAggregation:
        if self._signal != "metrics":
            return AGGREGATIONS[0]
        parse = parse_choice(AGGREGATIONS)
        return self.value("DEFAULT_HISTOGRAM_AGGREGATION", parse, AGGREGATIONS[0])

    def value(
        self,
        name: str,
        parse: Callable[[str], Parsed],
        default: Parsed,
        *,
        general: Callable[[str], Parsed] | None = None,
        shown: str | None = None,
    ) -> Parsed:
        wrong: list[tuple[str, str, ValueError]] = []
        used, said = default, shown or str(default)
        for variable, text in self._set(name):
            is_general = variable == PREFIX + name
            try:
                used = (general if general and is_general else parse)(text)
            except ValueError as error:
                wrong.append((variable, text, error))
            else:
                said = f"{variable}={without_secrets(text)}"
                break
        self.problems.extend(
            Problem(variable, without_secrets(text), f"{error}; used instead: {said}")
            for variable, text, error in wrong
        )
        return used

    def problem(self, name: str, message: str) -> None:
        variable, text = next(self._set(name))
        self.problems.append(Problem(variable, without_secrets(text), message))

    def _set(self, name: str) -> Iterator[tuple[str, str]]:
        """Yield the variables that are set, the signal's own first."""
        for variable in (f"{PREFIX}{self._signal.upper()}_{name}", PREFIX + name):
            text = self._environ.get(variable, "").strip()
            if text:
                yield variable, text


def _argument(name: str, value: str, parse: Callable[[str], Parsed]) -> Parsed:
    try:
        return parse(value)
    except ValueError as error:
        raise ConfigurationError(f"{name}={without_secrets(value)}: {error}") from None


def _typos(environ: Mapping[str, str]) -> Iterator[Problem]:
    for name, near in misspelt(environ):
        yield Problem(name, MASK, f"no such variable; did you mean {near}?")


def _default_endpoint(protocol: Protocol, signal: Signal) -> str:
    return DEFAULT_ENDPOINTS[protocol] + ("" if protocol == "grpc" else f"/v1/{signal}")
