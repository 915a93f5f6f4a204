"""How fast `verify` goes over an archive, against `zstd -dc | sha256sum` on the same files.

    python benchmarks/archive_verify.py [--mib 256] [--folder DIR]

The archive is that of `archive_size.py`, again and again with other numbers, until its lines have
that many MiB; sealed, compressed and signed. Both read it once before they are timed, and then in
turns, so that neither has the disk or the machine for itself; the medians are compared. `verify`
checks what `sha256sum` does and more: every commit line's hash, that each line is JSON of a known
kind, counts, times, signatures, the chain.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from archive_size import collections  # type: ignore[import-not-found] # the script beside this

from otel_exporter_ndjson import NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.fs import RealFs
from otel_exporter_ndjson.recovery import recover_service
from otel_exporter_ndjson.sealkey import SealKey, new_key_text, read_key
from otel_metrics.archive.verify import verify

ROUNDS = 5
RATIO_MIN = 0.2
MIB = 2**20


def written(folder: str, key_file: str, size: int) -> int:
    """Write an archive with lines of at least so many bytes; return how many there are."""
    total = seed = 0
    while total < size:
        exporter = NdjsonMetricExporter(folder, compression="none", seal_key_file=key_file)
        for data in collections(random.Random(seed)):
            exporter.export(data)
        exporter.shutdown()
        seed += 1
        plain = [each for each in find_segments(folder) if not each.compressed]
        total += sum(os.path.getsize(each.path) for each in plain)
        service = os.open(plain[0].folder_of_service, os.O_RDONLY)
        recover_service(RealFs(), service, compress=True)
        os.close(service)
    return total


def verified(folder: str, key: SealKey) -> float:
    """Return how long `verify` takes, and end where it finds anything."""
    begin = time.perf_counter()
    report = verify(folder, keys=[key])
    seconds = time.perf_counter() - begin
    if report.problems:
        raise SystemExit(f"verify found {report.problems[0]}")
    return seconds


def hashed(paths: list[str]) -> float:
    """Return how long the tools take."""
    begin = time.perf_counter()
    subprocess.run(
        ["sh", "-c", 'zstd -dcq "$@" | sha256sum', "sh", *paths],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - begin


def main() -> int:
    """Print both speeds and whether the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--folder", help="where to write; default: a temporary folder")
    arguments = parser.parse_args()
    if shutil.which("zstd") is None:
        print("zstd is not installed: apt-get install zstd")
        return 2
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        key_file = os.path.join(folder, "key")
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(new_key_text())
        archive, key = os.path.join(folder, "archive"), read_key(key_file)
        total = written(archive, key_file, arguments.mib * MIB)
        paths = [each.path for each in find_segments(archive)]
        ours, tools = zip(
            *[(verified(archive, key), hashed(paths)) for _ in range(ROUNDS + 1)], strict=True
        )
    own, peer = statistics.median(ours[1:]), statistics.median(tools[1:])
    print(f"{total / MIB:.0f} MiB of lines in {len(paths)} segments, median of {ROUNDS} rounds")
    print(f"zstd -dc | sha256sum   {total / MIB / peer:8.0f} MiB/s")
    print(f"verify                 {total / MIB / own:8.0f} MiB/s")
    ratio = peer / own
    met = ratio >= RATIO_MIN
    print(f"{ratio:8.2f} of their speed        bar {RATIO_MIN:g}: {'met' if met else 'MISSED'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
