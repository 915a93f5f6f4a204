"""A rebuild puts a whole store in the place of another, or none."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_metrics.archive.feed import Fed
from otel_metrics.sovereignty import SovereigntyStore
from otel_metrics.sovereignty.catch_up import AbsentArchiveError, Reached, UnreadableArchiveError
from otel_metrics.sovereignty.rebuild import rebuild
from tests.otel_metrics.sovereignty.stores import rows


class Torn:
    """An archive that breaks off behind its first event."""

    id = "torn"

    def events_after(self, reached: Reached) -> Iterator[Fed]:
        """Return the first event, and no more."""
        yield Fed("shop", "i", 1, 1, "sovereignty.api_call", {}, 1)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class Absent(Torn):
    """An archive that is not there."""

    id = ""


@pytest.mark.parametrize(
    ("archive", "error"), [(Torn(), UnreadableArchiveError), (Absent(), AbsentArchiveError)]
)
def test_an_archive_that_cannot_be_read_replaces_nothing(
    tmp_path: Path, archive: Torn, error: type[Exception]
) -> None:
    """The old store stays, and no unfinished one beside it."""
    path = tmp_path / "s.db"
    with SovereigntyStore(path) as store:
        store.record("decision_rule_hit")
    before = rows(path)

    with pytest.raises(error):
        rebuild(path, archive)

    assert rows(path) == before
    assert os.listdir(tmp_path) == ["s.db"]
