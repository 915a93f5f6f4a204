"""What several tests of the page need: a provider to record with, and certificates."""

import datetime
import ipaddress
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.metrics import Meter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import Resource

from otel_exporter_prometheus import PrometheusMetricReader


@pytest.fixture
def reader() -> Iterator[PrometheusMetricReader]:
    """A reader without a page of its own."""
    reader = PrometheusMetricReader(serve=False)
    yield reader
    reader.shutdown()


@pytest.fixture
def meter(reader: PrometheusMetricReader) -> Meter:
    """A meter whose instruments `reader` shows."""
    provider = MeterProvider(
        metric_readers=[reader],
        resource=Resource({"service.name": "shop"}),
        shutdown_on_exit=False,
    )
    return provider.get_meter("test")


@pytest.fixture
def lines(reader: PrometheusMetricReader) -> Callable[..., list[str]]:
    """The page's lines without `target_info`."""

    def read(*, openmetrics: bool = False) -> list[str]:
        page = reader.page(openmetrics=openmetrics).decode()
        return [line for line in page.splitlines() if "target" not in line]

    return read


@pytest.fixture
def certify(tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Return what writes a certificate for localhost and its key, and returns the two paths."""

    def write(name: str = "page", *, passphrase: str | None = None) -> tuple[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        names = [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        ]
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        encryption = (
            serialization.NoEncryption()
            if passphrase is None
            else serialization.BestAvailableEncryption(passphrase.encode())
        )
        cert_path, key_path = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        cert_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.touch(mode=0o600)
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
            )
        )
        return str(cert_path), str(key_path)

    return write
