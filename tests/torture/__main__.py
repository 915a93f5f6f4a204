"""`make torture`: every fault that this machine can make happen, and one table at the end.

Ends with 1 when a promise was broken. What the kernel or the user may not do is listed as not run.
"""

import argparse
import logging
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.torture.figures import Figures, table
from tests.torture.mounts import apart
from tests.torture.plan import Plan
from tests.torture.rows import GROUPS

CYCLES = 10_000
CUTS = 1_000


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for, and return the exit status."""
    parser = argparse.ArgumentParser(prog="make torture ARGS=", description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, with commas between")
    parser.add_argument("--cycles", type=int, default=CYCLES, help="kills in all")
    parser.add_argument("--cuts", type=int, default=CUTS, help="power cuts on each file system")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--folder", type=Path, help="where to make and remove archives")
    parser.add_argument("--quick", action="store_true", help="a sample of what can be counted")
    asked = parser.parse_args(arguments)
    wrong = set(asked.only.split(",")) - set(GROUPS)
    if wrong:
        parser.error(f"--only={asked.only}: there are {', '.join(GROUPS)}")
    signal.signal(signal.SIGTERM, _end)
    logging.getLogger("otel_exporter_ndjson").addHandler(logging.NullHandler())
    apart()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="torture-", dir=asked.folder) as folder:
        os.chmod(folder, 0o711)  # as `Plan.scratch` does
        plan = Plan(Path(folder), asked.seed, asked.cycles, asked.cuts, thorough=not asked.quick)
        return _run(plan, asked.only.split(","))


def _run(plan: Plan, groups: Sequence[str]) -> int:
    rows: list[Figures] = []
    try:
        for group in groups:
            for row in GROUPS[group](plan):
                rows.append(row)
                print(f"{row.fault}: {row.seconds:.1f} s", file=sys.stderr, flush=True)
                for violation in row.violations:
                    print(f"  {violation}", file=sys.stderr, flush=True)
    finally:
        print(table(rows))
    return 1 if any(row.violations for row in rows) else 0


def _end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
