"""How much of each fault is made to happen, where, and with which dice."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Plan"]

_PASSABLE = 0o711
"""Who has no rights must come as far as where he has none."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is asked for.

    Attributes:
        cycles: kills in all.
        cuts: power cuts on each file system.
        thorough: every point instead of a sample, and long waits instead of short ones.
    """

    folder: Path
    seed: int
    cycles: int
    cuts: int
    thorough: bool

    def dice(self, row: str) -> random.Random:
        """Return the dice of one row: the same for the same seed, whatever else is run."""
        return random.Random(f"{self.seed} {row}")

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a folder for the time of a block."""
        made = Path(tempfile.mkdtemp(prefix="torture-", dir=self.folder))
        made.chmod(_PASSABLE)
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
