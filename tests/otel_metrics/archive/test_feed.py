"""The feed: a domain's events behind the places that were reached, each once."""

import errno
import os
import resource
from pathlib import Path

import pytest

from otel_exporter_ndjson import Finding, find_segments
from otel_metrics import events
from otel_metrics.archive.adding import adding
from otel_metrics.archive.feed import EventFeed, Fed


def write(folder: Path, *names: str, service: str = "shop") -> None:
    """Write events, in a segment of a writer of its own."""
    with adding(folder, service=service):
        for name in names:
            events.emit(name, {"n": len(name)})


def feed(folder: Path, **more: object) -> EventFeed:
    """Return the feed of a domain called mine."""
    return EventFeed(path=str(folder), prefix="mine.", **more)  # type: ignore[arg-type] # as named


def reached(fed: list[Fed]) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the places that were reached."""
    return {(each.service, each.instance): (each.sequence, each.line) for each in fed}


def test_only_events_of_the_domain_are_fed(tmp_path: Path) -> None:
    """With attributes and time as they were."""
    write(tmp_path, "mine.a", "other.mine.b", "mine.cc")

    fed = [each for each in feed(tmp_path).events_after({}) if each.name]
    assert [(each.name, each.attributes) for each in fed] == [
        ("mine.a", {"n": 6}),
        ("mine.cc", {"n": 7}),
    ]
    assert all(each.time_ns for each in fed)


def test_what_is_behind_a_place_is_fed(tmp_path: Path) -> None:
    """The rest of its segment, and what other writers wrote since."""
    write(tmp_path, "mine.a", "mine.b", "mine.c")
    first = next(iter(feed(tmp_path).events_after({})))
    write(tmp_path, "mine.d")

    rest = [each.name for each in feed(tmp_path).events_after(reached([first])) if each.name]
    assert rest == ["mine.b", "mine.c", "mine.d"]


def test_a_sealed_segment_is_not_opened_again(tmp_path: Path) -> None:
    """Once it was read to its end, also where it held nothing of the domain."""
    write(tmp_path, "other.a")
    write(tmp_path, "mine.b")
    places = reached(list(feed(tmp_path).events_after({})))
    for segment in find_segments(tmp_path, signal="events"):
        os.truncate(segment.path, 0)

    findings: list[Finding] = []
    assert list(feed(tmp_path, findings=findings).events_after(places)) == []
    assert findings == []


def test_an_open_segment_is_read_on(tmp_path: Path) -> None:
    """From the line that was reached, whoever writes it."""
    with adding(tmp_path, service="shop"):
        events.emit("mine.a", {})
        places = reached(list(feed(tmp_path).events_after({})))
        events.emit("mine.b", {})
        fed = list(feed(tmp_path).events_after(places))
        assert [each.name for each in fed if each.name] == ["mine.b"]
        assert list(feed(tmp_path).events_after(places | reached(fed))) == []


def test_other_services_are_left_out(tmp_path: Path) -> None:
    """Where one is named."""
    write(tmp_path, "mine.a")
    write(tmp_path, "mine.b", service="bank")

    named = [each.name for each in feed(tmp_path, service="bank").events_after({})]
    assert [name for name in named if name] == ["mine.b"]
    assert len([each for each in feed(tmp_path).events_after({}) if each.name]) == 2


def test_damage_is_left_out_and_told(tmp_path: Path) -> None:
    """To whoever asks; the lines beside it are fed."""
    with adding(tmp_path, service="shop"):
        for name in ("mine.a", "mine.b", "mine.c"):
            events.emit(name, {})
        [segment] = find_segments(tmp_path, signal="events")
        text = Path(segment.path).read_bytes()
        os.chmod(segment.path, 0o600)
        Path(segment.path).write_bytes(text.replace(b'"mine.b"', b'"mine.b'))
        findings: list[Finding] = []
        fed = list(feed(tmp_path, findings=findings).events_after({}))

    assert [each.name for each in fed if each.name] == ["mine.a", "mine.c"]
    assert any(each.kind == "damage" for each in findings)


def test_an_archive_has_an_id_once_it_is_there(tmp_path: Path) -> None:
    """Before that there is nothing to follow."""
    assert feed(tmp_path / "a").id == ""
    write(tmp_path / "a", "mine.a")
    assert feed(tmp_path / "a").id != ""
    with pytest.raises(FileNotFoundError):
        list(feed(tmp_path / "b").events_after({}))


def test_what_cannot_be_read_is_not_taken_for_the_end(tmp_path: Path) -> None:
    """A process that is out of descriptors is told, at whatever file it happens; places that it was
    given lead to all the rest once it has some again."""
    for name in ("mine.a", "mine.b", "mine.c"):
        write(tmp_path, name)
    names = [each.name for each in feed(tmp_path).events_after({}) if each.name]
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writing, b"".join(_told_out_of_descriptors(tmp_path, names)))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)

    assert said.startswith(b"refused")
    assert said.replace(b"refused", b"") == b"whole"


def _told_out_of_descriptors(folder: Path, names: list[str]) -> list[bytes]:
    """Read with one descriptor more each time, until that is enough."""
    said: list[bytes] = []
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    lowest = os.dup(0)
    os.close(lowest)
    for limit in range(lowest, hard):
        fed: list[Fed] = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        try:
            fed.extend(feed(folder).events_after({}))  # as far as it comes
            ended = True
        except OSError as error:
            ended = error.errno != errno.EMFILE
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        rest = list(feed(folder).events_after(reached(fed)))
        found = [each.name for each in (*fed, *rest) if each.name]
        if sorted(found) != sorted(names) or (ended and rest):
            return [*said, f"wrong: {found}".encode()]
        if ended:
            return [*said, b"whole"]
        said.append(b"refused")
    return said
