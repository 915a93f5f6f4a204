"""Archives of a few small sealed segments, and what somebody may do to their files."""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from otel_exporter_ndjson import NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.audit import AuditLog
from otel_exporter_ndjson.files import read_lines
from otel_exporter_ndjson.frames import compress
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.retention import Limits, prune
from otel_exporter_ndjson.scan import Scan
from otel_exporter_ndjson.sealkey import SealKey, new_key_text
from otel_exporter_ndjson.segments import commit_line, seal_line
from otel_exporter_ndjson.settings import Settings
from otel_metrics.archive.checkpoint import (
    Checkpoint,
    checkpoint_text,
    entries_of,
    read_checkpoint,
    write_new,
)
from otel_metrics.archive.signatures import keyring
from otel_metrics.archive.verify import Report, verify
from tests.otel_metrics.archive.recorded import batch, gauge, total

Lines = list[bytes]
Edit = Callable[[int, Lines], Lines]


def new_key(folder: Path, name: str = "seal.key") -> Path:
    """Make a key file."""
    path = folder / name
    path.write_text(new_key_text())
    path.chmod(0o600)
    return path


def make(
    folder: Path, *, segments: int = 3, key_file: Path | None = None, service: str = "shop"
) -> Path:
    """Make an archive of one writer with so many sealed segments, not compressed.

    They are counted by sequence: a new file that a recovery took for a dead writer's is there for a
    moment beside the one that the writer made instead.
    """
    exporter = NdjsonMetricExporter(
        folder, sync="never", compression="none", rotate_bytes=4096, seal_key_file=key_file
    )
    number = 0
    while number == 0 or len(_written(folder, service)) < segments:
        number += 1
        exporter.export(batch(total(number, number), gauge(number, number), service=service))
    exporter.shutdown()
    return folder


def _written(folder: Path, service: str) -> set[tuple[str, int]]:
    return {(each.instance, each.sequence) for each in find_segments(folder, service=service)}


def paths(folder: Path, *, signal: str = "metrics", service: str | None = None) -> list[Path]:
    """Return the files of the segments, in order."""
    return [Path(each.path) for each in find_segments(folder, signal=signal, service=service)]


def put(path: Path, data: bytes) -> None:
    """Write a file anew, whatever its mode."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def spoil(path: Path) -> None:
    """Change a value of a segment, and no hash."""
    data = path.read_bytes()
    at = data.index(b'"value":') + len(b'"value":')
    put(path, data[:at] + (b"7" if data[at : at + 1] != b"7" else b"8") + data[at + 1 :])


def zipped(path: Path) -> Path:
    """Put the compressed form of a segment in place of the plain one."""
    data = path.read_bytes()
    target = path.with_name(f"{path.name}.zst")
    put(target, b"".join(compress([data], len(data))))
    path.unlink()
    return target


def lines_of(path: Path) -> Lines:
    """Return the lines of a segment in either form."""
    (segment,) = find_segments(path)
    return [line for _, _, line in read_lines(segment)]


def resealed(lines: Iterable[bytes], key: SealKey | None = None) -> Lines:
    """Return lines with every commit line and the seal made anew, as anybody can make them."""
    scan = Scan()
    done: Lines = []
    for line in lines:
        if line.startswith(b'{"kind":"commit"'):
            line = commit_line(scan.records, scan.sha256)
        elif line.startswith(b'{"kind":"seal"'):
            line = seal_line(scan.records, *scan.times, scan.sha256, key=key)
        scan.feed(line)
        done.append(line)
    return done


def rewrite_chain(folder: Path, edit: Edit, key: SealKey | None = None) -> None:
    """Change lines of a writer's segments, and make all hashes anew, those of the chain too."""
    before = None
    for number, path in enumerate(paths(folder)):
        lines = edit(number, path.read_bytes().splitlines(keepends=True))
        if before is not None:
            lines[0] = re.sub(
                rb'("previous":\{.*"sha256":")[0-9a-f]{64}', rb"\g<1>" + before, lines[0]
            )
        lines = resealed(lines, key)
        scan = Scan()
        for line in lines:
            scan.feed(line)
        before = scan.sha256.encode()
        put(path, b"".join(lines))


def unsealed(path: Path, edit: Callable[[Lines], Lines] = list) -> None:
    """Take a segment's seal away, change its lines, and make its commit lines anew."""
    lines = edit(path.read_bytes().splitlines(keepends=True))
    put(path, b"".join(line for line in resealed(lines) if not line.startswith(b'{"kind":"seal"')))


def copied(source: Path, target: Path) -> None:
    """Copy a file and the folders above it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    put(target, source.read_bytes())


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder with its bytes."""
    return {
        os.path.relpath(path, folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def kinds(report: Report) -> list[tuple[str, str]]:
    """Verdict and kind of each finding, once."""
    return sorted({(problem.verdict, problem.kind) for problem in report.problems})


def pruned(folder: Path, key: SealKey | None = None) -> None:
    """Remove the two oldest segments, as retention does."""
    audit = AuditLog(Settings(path=str(folder)), key=key)
    last = os.path.getsize(paths(folder)[-1])
    done = prune(RealFs(), str(folder), Limits(bytes_max=last), now_ns=0, say=audit.removed)
    assert len(list(done)) == 2
    audit.close()


def taken(folder: Path, key: SealKey | None = None, *, known: SealKey | None = None) -> Checkpoint:
    """Write a checkpoint beside the archive, and read it."""
    report = verify(folder)
    text = checkpoint_text(report.archive, entries_of(report.segments), now_ns=1, key=key)
    path = folder.with_name("checkpoint.json")
    write_new(str(path), text)
    reader = known or key
    return read_checkpoint(path, keyring([reader] if reader else []))
