"""Which files are read: those that nobody but root and this user can change."""

import os
from pathlib import Path

import pytest

from otel_metrics.remediation.trusted_files import (
    LINKS_MAX,
    UntrustedFileError,
    check_program,
    read,
)

NOBODY = 65_534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file in a folder of its own."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    found = folder / "file"
    found.write_bytes(b"content")
    found.chmod(0o600)
    return found


def refusal(path: Path | str, *, private: bool = False) -> str:
    """Return why a file is not read."""
    with pytest.raises(UntrustedFileError) as refused:
        read(str(path), bytes_max=100, private=private)
    return str(refused.value)


def test_a_file_of_ours_is_read(path: Path) -> None:
    """Also below `/tmp`, which is everybody's but sticky."""
    assert read(str(path), bytes_max=7) == b"content"


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
def test_a_folder_that_others_may_write_gives_its_files_away(path: Path, mode: int) -> None:
    """They could put another file in its place."""
    path.parent.chmod(mode)

    assert refusal(path) == (
        f"others may write {path.parent} (mode {mode:04o}); chmod go-w {path.parent}"
    )


def test_a_folder_on_the_way_of_a_link_counts_too(path: Path, tmp_path: Path) -> None:
    """A link is followed by hand: where it leads through is looked at as well."""
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    (open_folder / "file").symlink_to(path)
    (tmp_path / "link").symlink_to("open/file")
    assert read(str(tmp_path / "link"), bytes_max=7) == b"content"

    open_folder.chmod(0o777)

    assert refusal(tmp_path / "link").startswith(f"others may write {open_folder}")


def test_a_link_that_leads_up_is_followed(path: Path, tmp_path: Path) -> None:
    """Relative links and `..` in them mean what they mean to the kernel."""
    (path.parent / "up").symlink_to("../etc/./file")

    assert read(str(path.parent / "up"), bytes_max=7) == b"content"


def test_links_that_lead_in_a_circle_end(tmp_path: Path) -> None:
    """Nothing hangs on them."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert "is one link of too many" in refusal(tmp_path / "a")
    assert LINKS_MAX == 40


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("part", ["file", "folder", "link"])
def test_what_belongs_to_another_user_is_refused(path: Path, tmp_path: Path, part: str) -> None:
    """Whoever owns a file, its folder or a link to it decides what is read."""
    link = tmp_path / "link"
    link.symlink_to(path)
    owned = {"file": path, "folder": path.parent, "link": link}[part]
    os.chown(owned, NOBODY, NOBODY, follow_symlinks=False)

    assert refusal(link) == (
        f"{owned} belongs to another user (uid {NOBODY}); chown it to root or to uid 0"
    )


def test_a_secret_is_nobody_elses_to_read(path: Path) -> None:
    """Group and others may not even look."""
    path.chmod(0o640)

    assert read(str(path), bytes_max=7) == b"content"
    assert refusal(path, private=True) == (f"others may read {path} (mode 0640); chmod 0600 {path}")


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    """Who opened it would hang."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    assert refusal(tmp_path / "pipe") == f"{tmp_path}/pipe is no plain file; name a plain file"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("file", "'file' is no absolute path; begin it with /"),
        ("/file\0", "the path holds NUL; remove it"),
        ("/nowhere/file", "/nowhere/file cannot be read: No such file or directory; "),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(given: str, expected: str) -> None:
    """What is wrong with it is said."""
    assert refusal(given).startswith(expected)


def test_a_file_that_is_too_large_is_refused(path: Path) -> None:
    """It is not read to its end."""
    path.write_bytes(bytes(101))

    assert refusal(path) == f"{path} is larger than 100 bytes; make it smaller"


def test_refusing_leaves_no_descriptor_open(path: Path, tmp_path: Path) -> None:
    """A service that reads its file again and again keeps its descriptors."""
    (tmp_path / "a").symlink_to("a")
    path.parent.chmod(0o777)
    before = os.listdir("/proc/self/fd")

    for _ in range(20):
        refusal(path)
        refusal(tmp_path / "a")
        refusal(tmp_path / "nothing")

    assert len(os.listdir("/proc/self/fd")) <= len(before)  # others of this process may end


def test_a_program_must_be_executable(path: Path) -> None:
    """And is one only with the bit."""
    with pytest.raises(UntrustedFileError) as refused:
        check_program(str(path))
    path.chmod(0o700)

    assert str(refused.value) == f"{path} is not executable; chmod +x {path}"
    check_program(str(path))
