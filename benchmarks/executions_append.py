"""What does a run of an agent cost in a file of 300,000 runs, against a file of ten?

Both with an idempotency key, in turn, in one process that keeps its files open, and against a
program that reads the whole file for its keys and its summary. Prints the medians, and what the
first append costs that finds no index.

Reproduce: .venv/bin/python benchmarks/executions_append.py
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from otel_metrics.executions import ExecutionFiles

RECORDS = 300_000
APPENDS = 300
READS = 3
BAR = 3
"""The large file may cost so many times what the small one does."""


def fill(path: Path, records: int) -> None:
    """Write a file as an older program has."""
    path.parent.mkdir(parents=True)
    with path.open("w") as file:
        for number in range(records):
            record = {
                "timestamp": "2026-01-31T08:00:00Z",
                "agent": path.parent.name,
                "success": number % 5 > 0,
                "execution_time_s": number / 7,
                "quality_score": number % 100 / 100,
                "idempotency_key": f"run-{number}",
            }
            file.write(json.dumps(record) + "\n")


def append(files: ExecutionFiles, agent: str, key: str) -> float:
    """Return the time that one append takes, in microseconds."""
    begun = time.perf_counter()
    assert files.append(agent, success=True, quality_score=0.9, idempotency_key=key)
    return (time.perf_counter() - begun) * 1e6


def read_all(path: Path) -> float:
    """Return the time of a program that reads the file for its keys and its means."""
    begun = time.perf_counter()
    with path.open() as file:
        records = [json.loads(line) for line in file]
    assert "none" not in {record.get("idempotency_key") for record in records}
    statistics.fmean(record["success"] for record in records)
    statistics.fmean(record["quality_score"] for record in records)
    return (time.perf_counter() - begun) * 1e6


def main() -> None:
    """Race the two files."""
    with tempfile.TemporaryDirectory() as project:
        folder = Path(project) / ".kaizen" / "metrics"
        fill(folder / "small" / "executions.jsonl", 10)
        fill(folder / "large" / "executions.jsonl", RECORDS)
        files = ExecutionFiles(project)
        append(files, "small", "first")
        first = append(files, "large", "first")
        pairs = [
            [append(files, agent, f"new-{number}") for agent in ("small", "large")]
            for number in range(APPENDS)
        ]
        small, large = (statistics.median(column) for column in zip(*pairs, strict=True))
        whole = statistics.median(
            read_all(folder / "large" / "executions.jsonl") for _ in range(READS)
        )
        files.close()
    ratio = large / small
    print(f"append to a file of 10 runs         {small:12,.0f} us")
    print(f"append to a file of {RECORDS:,} runs    {large:12,.0f} us")
    print(f"ratio {ratio:.2f} (bar {BAR})")
    print(f"reading that file at each append    {whole:12,.0f} us")
    print(f"the first append, without an index  {first:12,.0f} us")
    sys.exit(ratio > BAR)


if __name__ == "__main__":
    main()
