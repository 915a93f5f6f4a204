"""`make compare`: ten pains, measured with the plain SDK and with otel-metrics, as one table.

Ends with 1 when one of them hurts with otel-metrics. One that a later SDK mends fails nothing.
"""

import argparse
import platform
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from typing import Final

from tests.compare.rows import ROWS
from tests.compare.table import Row, table

PACKAGES: Final = ("opentelemetry-sdk", "opentelemetry-exporter-prometheus", "otel-metrics")


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make compare ARGS=", description=__doc__)
    parser.add_argument("--only", default="", help="rows whose title holds this text")
    asked = parser.parse_args(arguments)
    chosen = [pain for pain in ROWS if asked.only.lower() in pain.title.lower()]
    if not chosen:
        parser.error(f"--only={asked.only}: there are {'; '.join(pain.title for pain in ROWS)}")
    rows: list[Row] = []
    for pain in chosen:
        print(f"{pain.title} …", file=sys.stderr, flush=True)
        rows.append((pain.title, pain.suffered(pain.plain), pain.suffered(pain.ours)))
    print(table(rows))
    named = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    print(f"\n{named}, Python {platform.python_version()}")
    return status(rows)


def status(rows: Iterable[Row]) -> int:
    """Return the exit status: 1 when one of the pains hurts with otel-metrics."""
    return 1 if any(ours.hurts for _, _, ours in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
