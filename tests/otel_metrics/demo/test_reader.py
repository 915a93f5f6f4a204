"""What is found and read of a library on disk."""

import os
import sysconfig
from pathlib import Path

import pytest

from otel_metrics.demo.library import Library, Source, SourceTooLargeError
from otel_metrics.demo.reader import SOURCE_BYTES_MAX, find_library, read_source


def test_only_the_librarys_own_source_files_are_found(tmp_path: Path) -> None:
    """What was installed beside it, and what is compiled, is none of it."""
    for name in ("a.py", "pkg/b.py", "pkg/c.txt", "site-packages/d.py", "pkg/__pycache__/e.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    found = find_library(str(tmp_path))

    assert (found.root, sorted(found.paths), found.unlisted) == (
        str(tmp_path),
        ["a.py", "pkg/b.py"],
        (),
    )


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    """Nothing is left out in silence."""
    absent = str(tmp_path / "absent")

    found = find_library(absent)

    (told,) = found.unlisted
    assert absent in told
    assert found == Library(root=absent, paths=(), unlisted=(told,))


def test_the_running_pythons_library_is_the_default() -> None:
    """A demo needs no input of its own."""
    found = find_library()

    assert found.root == sysconfig.get_path("stdlib")
    assert os.path.join("json", "decoder.py") in found.paths


def test_reading_is_bounded(tmp_path: Path) -> None:
    """A file as long as the limit is read; one byte more is an error that says so."""
    (tmp_path / "fits.py").write_bytes(b"#" * SOURCE_BYTES_MAX)
    (tmp_path / "large.py").write_bytes(b"#" * (SOURCE_BYTES_MAX + 1))

    fits = read_source(str(tmp_path), "fits.py")

    assert fits == Source("fits.py", b"#" * SOURCE_BYTES_MAX)
    with pytest.raises(SourceTooLargeError, match=r"large\.py is longer than 128 KiB"):
        read_source(str(tmp_path), "large.py")
