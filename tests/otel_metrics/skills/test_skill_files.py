"""Which skills a folder is about: names of today and of yesterday."""

from pathlib import Path

from otel_metrics.skills.readings import state
from otel_metrics.skills.skill_files import found, history


def test_the_old_name_and_the_safe_one_are_one_skill(tmp_path: Path) -> None:
    """What stands under the old name came before."""
    (tmp_path / "a:b_promotion_log.json").write_text('{"to_state": "staged"}\n')
    (tmp_path / "a%3Ab_promotion_log.json").write_text('{"to_state": "production"}\n')
    (tmp_path / "a%3Ab_fidelity.json").write_text('{"pattern_fidelity": 1, "agent": "x"}\n')

    files = found(str(tmp_path))
    assert list(files) == ["a:b"]
    records = history(files["a:b"])
    assert (len(records.moves), state(records)) == (2, "production")
    assert records.fidelity == [{"pattern_fidelity": 1}]


def test_what_is_no_skill_file_is_left_alone(tmp_path: Path) -> None:
    """Links, folders, mailboxes, thresholds and whatever else lies there."""
    (tmp_path / "notes.json").write_text("")
    (tmp_path / ".services").mkdir()
    (tmp_path / "folder_outcomes.json").mkdir()
    (tmp_path / "link_outcomes.json").symlink_to(tmp_path / "notes.json")

    assert found(str(tmp_path)) == {}


def test_a_bad_line_is_told_by_file_and_number(tmp_path: Path) -> None:
    """The lines around it count."""
    path = tmp_path / "a_fidelity.json"
    path.write_text('{"pattern_fidelity": 1}\nhalf{\n[]\n{"pattern_fidelity": 0}\n')
    bad: list[str] = []

    records = history(found(str(tmp_path))["a"], bad=bad)
    assert len(records.fidelity) == 2
    assert [line.split(": ")[0] for line in bad] == [f"{path}:2", f"{path}:3"]
