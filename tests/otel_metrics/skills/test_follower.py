"""What a service shows of a folder of skill files that others write to."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_metrics import skills
from otel_metrics.skills import MetricsAppender
from otel_metrics.skills.follower import Follower
from otel_metrics.skills.mailboxes import post
from otel_metrics.testing import Captured
from tests.e2e.services import until

UP = {
    "event_type": "promotion",
    "skill_name": "triage",
    "from_state": "prototype",
    "to_state": "staged",
}
DOWN = {
    "event_type": "rollback",
    "skill_name": "triage",
    "from_state": "staged",
    "to_state": "prototype",
    "automated": False,
}

Follow = Callable[..., Follower]


@pytest.fixture
def follow(tmp_path: Path) -> Iterator[Follow]:
    """Start followers of the test's folder."""
    started: list[Follower] = []

    def start(name: str = "shop", elected: Callable[[], bool] = lambda: True) -> Follower:
        follower = Follower(str(tmp_path), name=name, namespace="", elected=elected)
        started.append(follower)
        follower.start()
        return follower

    yield start
    for each in started:
        each.stop(time.monotonic() + 10)


def state_of(captured: Captured, skill: str = "triage") -> set[str]:
    """Return the states that are 1."""
    return {
        str((point.attributes or {})["skill.state"])
        for point in captured.points("skill.state")
        if (point.attributes or {})["gen_ai.skill.name"] == skill and point.value == 1  # type: ignore[union-attr]  # a gauge's
    }


def mailbox(folder: Path) -> bool:
    """Tell whether a service has one."""
    return any((folder / ".services").glob("*.ndjson"))


def test_every_skill_of_the_folder_has_a_state_at_start(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """That of its last move; a skill without one is a prototype. Nothing is counted."""
    (tmp_path / "triage_promotion_log.json").write_text('{"to_state": "production"}\n')
    (tmp_path / "%2E.%2Fpasswd_outcomes.json").write_text("")
    (tmp_path / "notes.txt").write_text("")
    follow()

    until(lambda: state_of(captured_telemetry) and state_of(captured_telemetry, "../passwd"))
    assert state_of(captured_telemetry) == {"production"}
    assert state_of(captured_telemetry, "../passwd") == {"prototype"}
    assert captured_telemetry.value("skill.promotions") == 0


def test_a_log_that_anybody_writes_to_is_followed(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """The state only: who moved the skill counts it."""
    follow()
    with (tmp_path / "triage_promotion_log.json").open("a") as log:
        log.write('{"to_state": "staged"}\n')
    until(lambda: state_of(captured_telemetry) == {"staged"})
    with (tmp_path / "triage_promotion_log.json").open("a") as log:
        log.write('{"to_state": "production"}\n')

    until(lambda: state_of(captured_telemetry) == {"production"})
    assert captured_telemetry.value("skill.promotions") == 0


def test_a_posted_decision_is_counted_once(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """Promotions and rollbacks each, with their edges; no event is made again."""
    follow()
    until(lambda: mailbox(tmp_path))
    post(str(tmp_path), UP)
    post(str(tmp_path), DOWN)

    until(lambda: captured_telemetry.value("skill.rollbacks"))
    about: dict[str, str | bool] = {
        "gen_ai.skill.name": "triage",
        "skill.promotion.from": "staged",
        "skill.promotion.to": "prototype",
        "skill.rollback.automated": False,
    }
    assert captured_telemetry.value("skill.rollbacks", about) == 1
    assert captured_telemetry.value("skill.promotions") == 1
    assert captured_telemetry.events == []


def test_two_processes_that_both_follow_count_once(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """Where no office can be held each follows; a decision is taken by one."""
    follow()
    follow()
    until(lambda: mailbox(tmp_path))
    for _ in range(20):
        post(str(tmp_path), UP)

    until(lambda: captured_telemetry.value("skill.promotions") == 20)
    time.sleep(0)  # whoever is late finds nothing
    assert captured_telemetry.value("skill.promotions") == 20


@pytest.mark.slow
def test_who_is_not_elected_takes_nothing(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """Until it is."""
    asked: list[bool] = []
    held = False

    def elected() -> bool:
        asked.append(held)
        return held

    first = follow()
    until(lambda: mailbox(tmp_path))
    first.stop(time.monotonic() + 10)
    post(str(tmp_path), UP)
    follow(elected=elected)
    until(lambda: len(asked) > 1)
    assert captured_telemetry.value("skill.promotions") == 0

    held = True
    until(lambda: captured_telemetry.value("skill.promotions") == 1)


def test_what_was_decided_while_no_process_ran_is_counted_by_the_next_start(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """Once the service has started on the folder a first time."""
    first = follow()
    until(lambda: mailbox(tmp_path))
    first.stop(time.monotonic() + 10)
    post(str(tmp_path), UP)

    follow()
    until(lambda: captured_telemetry.value("skill.promotions") == 1)


def test_a_service_that_decides_itself_is_not_counted_again(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """Its call counts; following it sets the state, and that is all."""
    appender = MetricsAppender(tmp_path)
    follow()
    until(lambda: mailbox(tmp_path))
    appender.append_promotion_event("triage", "prototype", "staged", "j.doe", "OPS-1", "", {})
    appender.append_promotion_event("mail", "prototype", "staged", "j.doe", "OPS-1", "", {})

    until(lambda: state_of(captured_telemetry, "mail") == {"staged"})
    assert captured_telemetry.value("skill.promotions") == 2


def test_who_does_not_follow_leaves_the_states_of_the_folder_to_who_does(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """Or a worker that moved a skill once would export that state for ever; a skill of another
    folder, and a version, is its own to tell."""
    appender = MetricsAppender(tmp_path)
    appender.append_promotion_event("triage", "prototype", "staged", "j.doe", "OPS-1", "", {})
    skills.record_promotion("mail", from_state="prototype", to_state="staged")
    skills.record_promotion("triage", from_state="prototype", to_state="staged", version="2")
    follow(elected=lambda: False)

    until(lambda: len(captured_telemetry.points("skill.state")) == 6)
    assert state_of(captured_telemetry) == state_of(captured_telemetry, "mail") == {"staged"}
    about = {"gen_ai.skill.name": "triage", "skill.state": "staged"}
    assert captured_telemetry.value("skill.state", about) == 0


@pytest.mark.slow
def test_a_mailbox_that_somebody_removed_is_opened_again(
    captured_telemetry: Captured, tmp_path: Path, follow: Follow
) -> None:
    """So are the next decisions counted."""
    follow()
    until(lambda: mailbox(tmp_path))
    for file in (tmp_path / ".services").iterdir():
        file.unlink()

    until(lambda: mailbox(tmp_path))
    post(str(tmp_path), UP)
    until(lambda: captured_telemetry.value("skill.promotions") == 1)


def test_a_folder_that_is_made_later_is_followed_then(
    captured_telemetry: Captured, tmp_path: Path
) -> None:
    """And nothing is made in its place."""
    folder = tmp_path / "later"
    follower = Follower(str(folder), name="shop", namespace="", elected=lambda: True)
    follower.start()
    try:
        MetricsAppender(folder).append_rollback_event("triage", "production", "staged", "", None)
        until(lambda: state_of(captured_telemetry) == {"staged"})
    finally:
        follower.stop(time.monotonic() + 10)


@pytest.mark.parametrize("what", ["file", "link"])
def test_what_cannot_be_read_hides_no_state(
    captured_telemetry: Captured,
    tmp_path: Path,
    follow: Follow,
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    """Here the mailboxes' folder: a file in its place, or a link that somebody planted. One line in
    the log says so, not one for each look."""
    (tmp_path / "elsewhere").mkdir()
    if what == "file":
        (tmp_path / ".services").write_text("in the way")
    else:
        (tmp_path / ".services").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "triage_promotion_log.json").write_text('{"to_state": "staged"}\n')
    looks = itertools.count()
    follow(elected=lambda: next(looks) >= 0)

    until(lambda: state_of(captured_telemetry) == {"staged"} and next(looks) > 3)
    assert len(caplog.records) == 1
    assert "not followed until it works again" in caplog.text
    assert list((tmp_path / "elsewhere").iterdir()) == []
