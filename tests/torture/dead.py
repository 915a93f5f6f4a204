"""What dead writers leave in an archive, for those who recover it."""

import shutil
from pathlib import Path

from otel_exporter_ndjson import find_segments
from otel_exporter_ndjson.exporter import Arguments
from tests.torture.ledger import Ledger
from tests.torture.verdict import LIFE, Life, life_of, recover
from tests.torture.workers import Load, record, start

__all__ = ["contents", "copied", "leave_dead"]


def leave_dead(folder: Path) -> list[Life]:
    """Make what dead writers leave: torn, empty, all zeros, sealed, half compressed."""
    lives = []
    arguments = Arguments(compression="none", rotate_bytes="4KiB", sync="never")
    for number in range(4):
        ledger = Ledger(number * LIFE)
        load = Load(exports=1000, pause_s=0.01, bytes_max=700, arguments=arguments)
        worker = start(record(folder, load), ledger)
        worker.await_count(12)
        worker.kill()
        lives.append(life_of(ledger))
    newest = Path(max(find_segments(folder), key=lambda each: each.name).path)
    name, _, number_of = newest.stem.rpartition("-")
    with newest.open("ab") as file:
        file.write(b'{"kind":"event","time":"2023-')
    newest.with_name(f"{name}-{int(number_of) + 1:06d}.ndjson").touch()
    newest.with_name(f"{name}-{int(number_of) + 2:06d}.ndjson").write_bytes(bytes(4096))
    newest.with_name(f".{name}-{int(number_of) + 2:06d}.ndjson-0123abcd.tmp").write_bytes(b"half")
    return lives


def copied(dead: Path, target: Path) -> Path:
    """Copy an archive; a copy that is there is replaced."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(dead, target))


def contents(folder: Path, *, recovered: bool = False) -> dict[str, bytes]:
    """Return every file with its bytes, after a recovery where that is asked for."""
    if recovered:
        recover(folder)
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
