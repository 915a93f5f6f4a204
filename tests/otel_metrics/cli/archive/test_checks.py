"""`otel-metrics archive verify, checkpoint, keygen, repair` and `erase`, as they are typed."""

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from otel_exporter_ndjson import NdjsonMetricExporter, find_segments
from otel_exporter_ndjson.sealkey import read_key
from otel_metrics.cli.archive import archive
from tests.otel_metrics.archive.recorded import batch, emit, event, total
from tests.otel_metrics.archive.sealed import (
    make,
    new_key,
    paths,
    put,
    resealed,
    spoil,
    tree,
    unsealed,
    zipped,
)


def run(command: str, *arguments: object) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(archive, [command, *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An archive of three sealed segments of one writer."""
    return make(tmp_path / "archive")


def die(folder: Path) -> None:
    """Let a writer die in the middle of a line."""
    child = os.fork()
    if child == 0:
        exporter = NdjsonMetricExporter(folder, sync="never")
        exporter.export(batch(total(1, 1)))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_sound_archive_is_status_0(folder: Path) -> None:
    """Both verdicts stand at the end, and what cannot be shown without a checkpoint."""
    result = run("verify", "--archive", folder)

    assert result.exit_code == 0
    assert result.stdout.splitlines()[-3:] == [
        "integrity: holds (no key given, signatures not checked)",
        "completeness: holds",
        "completeness: no checkpoint given, removal of the newest segments cannot show",
    ]
    assert "shop" in result.stdout


def test_damage_is_status_1_and_has_its_place(folder: Path) -> None:
    """File, line and bytes; the other verdict is another one."""
    path = paths(folder)[1]
    spoil(path)
    result = run("verify", "--archive", folder)

    assert result.exit_code == 1
    assert f"{path.name}:" in result.stdout
    assert "bytes " in result.stdout
    assert "integrity: FAILS, 1 finding (" in result.stdout
    assert "completeness: holds" in result.stdout


def test_programs_get_one_object(folder: Path) -> None:
    """With every finding, and verdicts as words."""
    paths(folder)[1].unlink()
    result = run("verify", "--archive", folder, "--format", "json")
    data = json.loads(result.stdout)

    assert result.exit_code == 1
    assert (data["integrity"], data["completeness"]) == ("holds", "fails")
    assert (data["segments"], data["checkpoint"], data["keys"]) == (2, False, False)
    assert [each["kind"] for each in data["findings"]] == ["gap"]
    assert data["services"][0]["sealed"] == 2


def test_a_dead_writer_is_status_3_until_it_is_repaired(folder: Path) -> None:
    """And the remedy is told."""
    die(folder)
    result = run("verify", "--archive", folder)
    assert result.exit_code == 3
    assert "completeness: cannot be told yet" in result.stdout
    assert "otel-metrics archive repair does it" in result.stdout

    dry = run("repair", "--archive", folder, "--dry-run", "--format", "json")
    done = run("repair", "--archive", folder, "--format", "json")
    assert (dry.exit_code, done.exit_code) == (0, 0)
    assert json.loads(dry.stdout) == json.loads(done.stdout)
    assert run("verify", "--archive", folder).exit_code == 0


def test_with_a_key_it_is_said_what_a_recovery_sealed(tmp_path: Path) -> None:
    """A newest segment whose seal was stripped and whose values were changed is signed then."""
    key = new_key(tmp_path)
    folder = make(tmp_path / "signed", key_file=key)
    unsealed(paths(folder)[-1], lambda lines: [*lines[:3], *changed(lines[3:])])
    assert run("repair", "--archive", folder, "--key-file", key).exit_code == 0
    result = run("verify", "--archive", folder, "--key-file", key)
    data = run("verify", "--archive", folder, "--key-file", key, "--format", "json")

    assert result.exit_code == 0
    assert (
        "signatures: 1 segment was sealed by a recovery: what stands in it was not vouched for "
        "before that" in result.stdout
    )
    (path,) = json.loads(data.stdout)["recovered_segments"]
    assert folder / path == paths(folder)[-1]


def changed(lines: list[bytes]) -> list[bytes]:
    """Change the first value."""
    return [line.replace(b'"value":', b'"value":7', 1) for line in lines]


def test_with_a_key_an_open_segment_is_a_note(tmp_path: Path) -> None:
    """Nothing in it is signed until its writer seals it."""
    key = new_key(tmp_path)
    folder = make(tmp_path / "signed", key_file=key, segments=1)
    exporter = NdjsonMetricExporter(folder, seal_key_file=key)
    exporter.export(batch(total(1, 1)))
    result = run("verify", "--archive", folder, "--key-file", key)
    plain = run("verify", "--archive", folder)
    exporter.shutdown()

    assert (result.exit_code, plain.exit_code) == (0, 0)
    assert "note: open" in result.stdout
    assert "open, not yet signed" in result.stdout
    assert "not yet signed" not in plain.stdout


def test_a_repair_that_leaves_something_is_status_3(folder: Path) -> None:
    """What was changed after it was sealed is told, and stays."""
    path = paths(folder)[1]
    spoil(path)
    result = run("repair", "--archive", folder)

    assert result.exit_code == 3
    assert "damaged" in result.stdout


@pytest.mark.parametrize("command", ["verify", "checkpoint", "repair"])
def test_what_is_no_archive_is_told(tmp_path: Path, command: str) -> None:
    """A folder without an archive is status 1; none, and a file, are 2."""
    (tmp_path / "empty").mkdir()
    assert run(command, "--archive", tmp_path / "empty").exit_code == 1
    assert run(command, "--archive", tmp_path / "none").exit_code == 2
    segment = paths(make(tmp_path / "a", segments=1))[0]
    assert run(command, "--archive", segment).exit_code == 2


def test_an_archive_without_segments_is_status_0(folder: Path) -> None:
    """There is nothing that could be wrong."""
    for path in paths(folder):
        path.unlink()
    result = run("verify", "--archive", folder)

    assert result.exit_code == 0
    assert "integrity: holds" in result.stdout


def test_keygen_makes_a_key_that_others_cannot_read(tmp_path: Path) -> None:
    """And says how to use it; what is there is never overwritten."""
    file = tmp_path / "seal.key"
    result = run("keygen", file)
    text = file.read_text()

    assert result.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"key {read_key(file).id} is in" in result.stdout
    assert f"OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE={file}" in result.stdout
    assert text.strip() not in result.output
    assert run("keygen", file).exit_code == 2
    assert file.read_text() == text
    assert run("keygen", tmp_path / "none" / "k").exit_code == 2


def test_keys_are_checked(tmp_path: Path) -> None:
    """Several may be given; a key that others can read is status 2."""
    old, new = new_key(tmp_path, "old"), new_key(tmp_path, "new")
    folder = make(tmp_path / "a", segments=1, key_file=old)
    make(folder, segments=2, key_file=new)

    both = run("verify", "--archive", folder, "--key-file", old, "--key-file", new)
    assert (both.exit_code, "signatures checked" in both.stdout) == (0, True)
    one = run("verify", "--archive", folder, "--key-file", new)
    assert (one.exit_code, "unknown_key" in one.stdout) == (1, True)
    new.chmod(0o644)
    assert run("verify", "--archive", folder, "--key-file", new).exit_code == 2


def test_a_checkpoint_is_written_and_held_to(folder: Path, tmp_path: Path) -> None:
    """The newest segment is removed, and only so it shows."""
    out, key = tmp_path / "checkpoint.json", new_key(tmp_path)
    made = run("checkpoint", "--archive", folder, "--out", out, "--key-file", key)
    assert made.exit_code == 0
    assert f"signed with key {read_key(key).id}" in made.stderr
    assert run("verify", "--archive", folder, "--checkpoint", out).exit_code == 0

    paths(folder)[2].unlink()
    assert run("verify", "--archive", folder).exit_code == 0
    result = run("verify", "--archive", folder, "--checkpoint", out)
    assert result.exit_code == 1
    assert "was there at the time of the checkpoint" in result.stdout
    assert "no checkpoint given" not in result.stdout


def test_a_checkpoint_goes_to_the_output_stream_too(folder: Path, tmp_path: Path) -> None:
    """As it would go to a file."""
    result = run("checkpoint", "--archive", folder)
    out = tmp_path / "checkpoint.json"
    out.write_text(result.stdout)

    assert len(json.loads(result.stdout)["segments"]) == 3
    assert run("verify", "--archive", folder, "--checkpoint", out).exit_code == 0


def test_a_damaged_archive_has_no_checkpoint(folder: Path, tmp_path: Path) -> None:
    """It would vouch for the damage; an older one stays."""
    out = tmp_path / "checkpoint.json"
    out.write_text("old")
    path = paths(folder)[1]
    spoil(path)
    result = run("checkpoint", "--archive", folder, "--out", out)

    assert result.exit_code == 1
    assert "nothing is written" in result.stderr
    assert out.read_text() == "old"


def test_a_changed_checkpoint_is_refused(folder: Path, tmp_path: Path) -> None:
    """Status 1, and no verdict; one that cannot be read is 2."""
    out = tmp_path / "checkpoint.json"
    run("checkpoint", "--archive", folder, "--out", out)
    out.write_bytes(out.read_bytes().replace(b'"records":12', b'"records":13', 1))
    result = run("verify", "--archive", folder, "--checkpoint", out)

    assert result.exit_code == 1
    assert "was changed after it was made" in result.stderr
    assert "integrity" not in result.stdout
    assert run("verify", "--archive", folder, "--checkpoint", tmp_path / "no").exit_code == 2


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Events of alice and bob."""
    path = tmp_path / "people"
    emit(path, *[event("order", n, user=user) for n, user in enumerate(["alice", "bob"])])
    return path


def test_erase_only_counts_without_yes(people: Path) -> None:
    """Nothing is changed, and there is no audit."""
    result = run("erase", "--archive", people, "--attribute", "user=alice")

    assert result.exit_code == 0
    assert "1 record matches\n1 can be erased now; --yes erases them" in result.stderr
    assert b"alice" in paths(people, signal="events")[0].read_bytes()
    assert not (people / "audit").exists()


def _cut(path: Path) -> Path:
    data = zipped(path).read_bytes()
    target = path.with_name(f"{path.name}.zst")
    put(target, data[: len(data) // 2])
    return target


def _doubled(path: Path) -> Path:
    lines = path.read_bytes().splitlines(keepends=True)
    twice = [
        line.replace(b'{"kind":"event"', b'{"kind":"event","kind":"event"')
        if b"alice" in line
        else line
        for line in lines
    ]
    put(path, b"".join(resealed(twice)))
    return path


def _linked(path: Path) -> Path:
    elsewhere = path.parents[4] / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    return path


def _folder_linked(path: Path) -> Path:
    elsewhere = path.parents[4] / "elsewhere"
    path.parent.rename(elsewhere)
    path.parent.symlink_to(elsewhere)
    return path.parent


@pytest.mark.parametrize("hide", [_cut, _doubled, _linked, _folder_linked])
@pytest.mark.parametrize("more", [(), ("--yes", "--reason", "request 7")])
def test_erase_tells_what_it_could_not_look_into(
    people: Path, hide: Callable[[Path], Path], more: tuple[str, ...]
) -> None:
    """Half a compressed segment, a line that readers refuse, and links, which nobody follows."""
    (path,) = [each for each in paths(people, signal="events") if b"alice" in each.read_bytes()]
    hidden = hide(path)
    result = run("erase", "--archive", people, "--attribute", "user=alice", *more)

    assert result.exit_code == 3
    assert f"{hidden}: could not be looked into; the value may still be there" in result.stderr


def test_erase_of_a_service_whose_folder_is_a_link_is_not_done(people: Path) -> None:
    """That nothing of it was found says nothing; and the folder is not that of another service."""
    (path,) = paths(people, signal="events")
    folder = path.parents[1]
    folder.rename(people / "elsewhere")
    folder.symlink_to(people / "elsewhere")
    asked = ("--archive", people, "--attribute", "user=alice", "--service")
    result = run("erase", *asked, path.parents[1].name.removeprefix("service="))

    assert result.exit_code == 3
    assert f"{folder}: could not be looked into" in result.stderr
    assert run("erase", *asked, "another").exit_code == 1


def test_what_is_erased_is_told_by_verify(people: Path) -> None:
    """Status 0, and a line that says how many and why."""
    arguments = ("--archive", people, "--attribute", "user=alice", "--yes")
    result = run("erase", *arguments, "--reason", "request 7")
    assert (result.exit_code, "1 record erased" in result.stderr) == (0, True)
    assert b"alice" not in paths(people, signal="events")[0].read_bytes()

    verified = run("verify", "--archive", people)
    assert verified.exit_code == 0
    assert "rewritten, 1 records erased, reason: request 7" in verified.stdout
    assert "completeness: holds" in verified.stdout


def test_what_is_still_there_is_status_3(people: Path) -> None:
    """An open segment, and bytes that were set aside."""
    exporter = NdjsonMetricExporter(people, compression="none")
    exporter.export(batch(total(1, 1, attributes={"user": "alice"})))
    torn = Path(f"{paths(people, signal='events')[0]}.torn")
    torn.write_bytes(b'{"user":"alice"')
    arguments = ("--archive", people, "--attribute", "user=alice", "--yes", "--reason", "x")
    result = run("erase", *arguments)
    exporter.shutdown()

    assert result.exit_code == 3
    assert "1 record is still there, in open segments; run this again" in result.stderr
    assert f"{torn}: holds a value" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ([], "use --attribute, --event or --metric"),
        (["--attribute", "user=alice", "--yes"], "--reason is missing"),
        (["--attribute", "user=alice", "--yes", "--reason", "alice asked"], "leave it out"),
        (["--attribute", "alice"], "is no KEY=VALUE"),
        (["--attribute", "user="], "is no KEY=VALUE"),
    ],
)
def test_wrong_use_of_erase_is_status_2(people: Path, arguments: list[str], remedy: str) -> None:
    """With the remedy; nothing is touched."""
    result = run("erase", "--archive", people, *arguments)

    assert result.exit_code == 2
    assert remedy in result.stderr
    assert b"alice" in paths(people, signal="events")[0].read_bytes()


def test_what_others_wrote_cannot_drive_a_terminal(folder: Path) -> None:
    """Names and reasons are printed with their control characters escaped."""
    (paths(folder)[0].parent / "x\x1b[31m\u202ey").write_text("")
    result = run("verify", "--archive", folder)

    assert "\x1b" not in result.output
    assert "\u202e" not in result.output
    assert "\\u001b" in result.stdout
    assert len(find_segments(folder)) == 3


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """A signed archive with a dead writer, and its key."""
    key = new_key(tmp_path)
    folder = make(tmp_path / "signed", key_file=key)
    die(folder)
    return folder, key


KEYED = [
    ("repair",),
    ("prune", "--bytes", "1", "--yes"),
    ("erase", "--metric", "jobs", "--yes", "--reason", "x"),
]


@pytest.mark.parametrize("command", KEYED, ids=lambda command: command[0])
def test_a_signed_archive_is_not_changed_without_its_key(
    signed: tuple[Path, Path], command: tuple[str, ...]
) -> None:
    """It would never verify with the key again; the remedy is told."""
    folder, _ = signed
    before = tree(folder)
    result = run(*command, "--archive", folder)

    assert result.exit_code == 2
    assert "its seals are signed" in result.stderr
    assert "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE, or --unsigned to go without" in result.stderr
    assert tree(folder) == before


@pytest.mark.parametrize("command", KEYED, ids=lambda command: command[0])
def test_the_key_of_the_service_is_the_default(
    signed: tuple[Path, Path], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is changed with its variable set verifies with the key."""
    folder, key = signed
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE", str(key))
    run(*command, "--archive", folder)
    run("repair", "--archive", folder)
    result = run("verify", "--archive", folder)

    assert result.exit_code == 0
    assert "signatures checked" in result.stdout


@pytest.mark.parametrize("command", KEYED, ids=lambda command: command[0])
def test_a_signed_archive_can_be_changed_unsigned(
    signed: tuple[Path, Path], command: tuple[str, ...]
) -> None:
    """Where somebody says so."""
    folder, _ = signed
    before = tree(folder)
    result = run(*command, "--archive", folder, "--unsigned")

    assert result.exit_code in (0, 3)
    assert tree(folder) != before


def test_a_key_in_the_variable_that_cannot_be_used_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variable's name."""
    monkeypatch.setenv("OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE", "/nowhere/seal.key")
    result = run("verify", "--archive", folder)

    assert result.exit_code == 2
    assert result.stderr.startswith("OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE=/nowhere/seal.key: ")


def test_segments_that_only_a_checkpoint_vouches_for_are_counted(
    folder: Path, tmp_path: Path
) -> None:
    """Their signatures were not checked: there are none."""
    out, key = tmp_path / "checkpoint.json", new_key(tmp_path)
    run("checkpoint", "--archive", folder, "--out", out, "--key-file", key)
    arguments = ("--archive", folder, "--checkpoint", out, "--key-file", key)
    result = run("verify", *arguments)
    data = json.loads(run("verify", *arguments, "--format", "json").stdout)

    assert result.exit_code == 0
    assert "0 segments signed, 3 segments without a valid signature" in result.stdout
    assert (data["signed"], data["vouched_by_checkpoint"]) == (0, 3)


def test_a_checkpoint_of_another_archive_is_one_finding(folder: Path, tmp_path: Path) -> None:
    """And not one for each of its segments."""
    out = tmp_path / "checkpoint.json"
    run("checkpoint", "--archive", make(tmp_path / "other"), "--out", out)
    result = run("verify", "--archive", folder, "--checkpoint", out, "--format", "json")

    assert result.exit_code == 1
    assert [each["kind"] for each in json.loads(result.stdout)["findings"]] == ["checkpoint"]


def test_what_is_no_checkpoint_is_wrong_use(folder: Path, tmp_path: Path) -> None:
    """Status 2; one that was cut is changed, status 1."""
    other, out = tmp_path / "notes.txt", tmp_path / "checkpoint.json"
    other.write_text("notes")
    result = run("verify", "--archive", folder, "--checkpoint", other)
    assert (result.exit_code, "is no checkpoint" in result.stderr) == (2, True)

    run("checkpoint", "--archive", folder, "--out", out)
    out.write_bytes(out.read_bytes()[:-20])
    result = run("verify", "--archive", folder, "--checkpoint", out)
    assert (result.exit_code, "was changed" in result.stderr) == (1, True)


def test_what_a_recovery_did_is_counted(folder: Path) -> None:
    """Segments that it sealed, and files of torn tails; neither is a fault."""
    die(folder)
    with paths(folder)[-1].open("ab") as file:
        file.write(b'{"kind":"me')
    run("repair", "--archive", folder)
    result = run("verify", "--archive", folder)
    data = json.loads(run("verify", "--archive", folder, "--format", "json").stdout)

    assert result.exit_code == 0
    assert "recovered: 1 segment sealed by a recovery, 1 .torn file set aside" in result.stdout
    assert (data["recovered"], data["torn_files"]) == (1, 1)


@pytest.mark.parametrize("cut", [False, True])
def test_what_was_changed_before_it_was_sealed_is_told(tmp_path: Path, *, cut: bool) -> None:
    """By segment, line and bytes, status 3; a dry run says the same."""
    die(tmp_path)
    path = paths(tmp_path)[0]
    spoil(path)
    if cut:
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2], *lines[3:]]))
    dry = run("repair", "--archive", tmp_path, "--dry-run", "--format", "json")
    done = run("repair", "--archive", tmp_path, "--format", "json")

    assert (dry.exit_code, done.exit_code) == (3, 3)
    assert json.loads(dry.stdout) == json.loads(done.stdout)
    assert f"{path.name}: damaged, and sealed as it is; line " in done.stderr
    assert "commit hash differs" in done.stderr


def test_a_line_that_is_no_json_is_told_by_repair(tmp_path: Path) -> None:
    """It stays where it is, between whole lines."""
    die(tmp_path)
    path = paths(tmp_path)[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], b"nonsense\n", lines[-1]]))
    result = run("repair", "--archive", tmp_path)

    assert result.exit_code == 3
    assert "no JSON" in result.stderr


def test_a_repair_with_nothing_to_do_says_so(folder: Path) -> None:
    """In a sentence; programs get an empty list."""
    run("repair", "--archive", folder)
    result = run("repair", "--archive", folder)

    assert (result.exit_code, result.stdout) == (0, "")
    assert "nothing is to be repaired" in result.stderr
    assert json.loads(run("repair", "--archive", folder, "--format", "json").stdout) == []


def test_erase_tells_what_it_cannot_reach_yet(people: Path) -> None:
    """Before anybody relies on it."""
    exporter = NdjsonMetricExporter(people, compression="none")
    exporter.export(batch(total(1, 1, attributes={"user": "carol"})))
    result = run("erase", "--archive", people, "--attribute", "user=carol")
    exporter.shutdown()

    assert result.exit_code == 3
    assert "1 record matches\n0 can be erased now\n1 record is in open segments" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--event", "ordre"], "--event=ordre: nothing matches; did you mean order?"),
        (["--event", "ord*"], "--event=ord*: nothing matches"),
        (["--attribute", "user=alicia"], "--attribute=user=alicia: nothing matches"),
    ],
)
def test_erase_says_what_was_meant(people: Path, arguments: list[str], hint: str) -> None:
    """A misspelt name must not look like an erased one; a pattern is none here."""
    result = run("erase", "--archive", people, *arguments)

    assert result.exit_code == 0
    assert "0 records match" in result.stderr
    assert hint in result.stderr


def test_erase_wants_a_service_that_is_there(people: Path) -> None:
    """Status 1, with what was meant."""
    result = run("erase", "--archive", people, "--service", "shopp", "--attribute", "user=alice")

    assert (result.exit_code, "--service=shopp: nothing matches" in result.stderr) == (1, True)
