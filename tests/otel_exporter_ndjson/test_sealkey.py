"""Signed seals: made with a key from a file, and only from a file that nobody else can read."""

import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData

from otel_exporter_ndjson import (
    NdjsonMetricExporter,
    SettingError,
    UnsafeArchiveError,
    find_segments,
)
from otel_exporter_ndjson.files import last_line
from otel_exporter_ndjson.sealkey import SealKey, new_key_text, read_key

Batches = Callable[..., MetricsData]
SECRET = bytes(range(32))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A key file as it should be."""
    path = tmp_path / "seal.key"
    path.write_text(f"{SECRET.hex()}\n")
    path.chmod(0o600)
    return path


def test_a_seal_is_signed_over_every_byte_before_its_signature(
    tmp_path: Path, key_file: Path, batch: Batches
) -> None:
    """Anybody with the key can check it with an HMAC of any library."""
    exporter = NdjsonMetricExporter(tmp_path / "a", seal_key_file=key_file, compression="none")
    exporter.export(batch(1))
    exporter.shutdown()
    (segment,) = find_segments(tmp_path / "a")

    seal = last_line(segment)
    signed, _, rest = seal.partition(b',"hmac":')
    assert rest == b'"%s"}\n' % hmac.new(SECRET, signed, "sha256").hexdigest().encode()
    key_id = hashlib.sha256(b"otel_exporter_ndjson seal key\0" + SECRET).hexdigest()[:16]
    assert msgspec.json.decode(seal)["key"] == key_id


def test_what_a_dead_writer_left_is_signed_as_recovered(
    tmp_path: Path, key_file: Path, batch: Batches
) -> None:
    """The next start seals it with the key, and says that it was not its own writer."""
    child = os.fork()
    if child == 0:
        exporter = NdjsonMetricExporter(tmp_path / "a", seal_key_file=key_file)
        exporter.export(batch(1))
        os._exit(0)
    os.waitpid(child, 0)
    exporter = NdjsonMetricExporter(
        tmp_path / "a", seal_key_file=key_file, compression="none", service="shop"
    )
    exporter.shutdown()
    (segment,) = find_segments(tmp_path / "a")

    seal = last_line(segment)
    assert msgspec.json.decode(seal)["recovered"] is True
    assert SealKey(SECRET).holds(seal.partition(b',"hmac":')[0], msgspec.json.decode(seal)["hmac"])


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_closes_the_archive(
    tmp_path: Path,
    key_file: Path,
    batch: Batches,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: int,
) -> None:
    """One error line names the file and the remedy; the service runs, nothing is written."""
    key_file.chmod(mode)
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE", str(key_file))
    exporter = NdjsonMetricExporter(tmp_path / "a", service="shop")

    assert [exporter.export(batch(n)) for n in range(3)] == [MetricExportResult.FAILURE] * 3
    exporter.shutdown()
    errors = [record.message for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert f"seal_key_file={key_file}: others may read or change it" in errors[0]
    assert "chmod it to 0600" in errors[0]
    assert SECRET.hex() not in caplog.text
    assert not (tmp_path / "a").exists()
    assert exporter.stats().dropped == {"unsafe": 3}


def test_a_key_given_as_an_argument_must_be_usable(tmp_path: Path, key_file: Path) -> None:
    """An argument that cannot be used raises, as every other does."""
    key_file.write_text("not a key\n")

    with pytest.raises(SettingError, match="holds no key of 64 hex digits"):
        NdjsonMetricExporter(tmp_path / "a", seal_key_file=key_file)
    with pytest.raises(SettingError, match="No such file"):
        NdjsonMetricExporter(tmp_path / "a", seal_key_file=tmp_path / "none")


@pytest.mark.parametrize(
    "text", ["", "\n", "ab" * 31, "ab" * 33, "AB" * 32, f"0x{'ab' * 31}", "é" * 64]
)
def test_what_is_no_key_is_refused(key_file: Path, text: str) -> None:
    """Neither short, long nor differently written keys are taken for one."""
    key_file.write_text(text)

    with pytest.raises(SettingError, match="keygen"):
        read_key(key_file)


def test_a_pipe_in_place_of_a_key_is_refused(tmp_path: Path) -> None:
    """A start does not hang on what is no plain file."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    with pytest.raises(UnsafeArchiveError, match="no plain file"):
        read_key(tmp_path / "pipe")


def test_a_new_key_is_random_and_can_be_read(key_file: Path) -> None:
    """What `keygen` writes is what a start reads, and never the same twice."""
    text = new_key_text()
    key_file.write_text(text)

    assert read_key(key_file).secret.hex() == text.strip()
    assert text != new_key_text()


def test_a_secret_is_in_no_repr() -> None:
    """A log line or a traceback gives nothing away."""
    assert SECRET.hex() not in repr(SealKey(SECRET))
    assert repr(SECRET) not in repr(SealKey(SECRET))


@given(st.binary(max_size=80), st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_one_other_digit_is_no_signature(text: bytes, at: int, digit: str) -> None:
    """A signature holds as a whole: no digit of it may differ, none may be missing."""
    key = SealKey(SECRET)
    signature = key.sign(text)
    other = signature[:at] + digit + signature[at + 1 :]

    assert key.holds(text, other) == (other == signature)
    assert not key.holds(text, signature[:at])
    assert not SealKey(SECRET[::-1]).holds(text, signature)
