"""How often anything runs, whatever the clock does."""

from dataclasses import replace

import pytest

from otel_metrics.remediation.model import Limits, Result
from otel_metrics.service.samples import Resource
from tests.otel_metrics.remediation.desks import HOST, HOSTS, Desk, binding, request

MANY = {"runs_per_hour": 1_000, "target_runs_per_hour": 1_000, "targets_per_hour": 1_000}


def asked(desk: Desk, *targets: Resource, start: int = 0) -> list[Result]:
    """Ask once for each target, and return what became of it."""
    return [
        desk.engine.handle(request(key=f"key-{number}", target=target, metric=None)).result
        for number, target in enumerate(targets, start)
    ]


def test_a_cooldown_is_of_playbook_and_target(desk: Desk) -> None:
    """On the same target it waits; on another it does not."""
    desk.bindings[0] = replace(desk.bindings[0], cooldown_s=600.0)

    assert asked(desk, HOST, HOST, HOSTS[1]) == ["succeeded", "limited", "succeeded"]
    desk.time.move(599)
    assert asked(desk, HOST, start=10) == ["limited"]
    desk.time.move(2)
    assert asked(desk, HOST, start=20) == ["succeeded"]


@pytest.mark.parametrize(
    ("limits", "per_hour", "targets", "said"),
    [
        (Limits(**MANY), 2, HOSTS[:3], "2 runs of it in the last hour, of 2"),
        (
            Limits(**{**MANY, "target_runs_per_hour": 2}),
            99,
            [HOST] * 3,
            "2 runs on this target in the last hour, of 2",
        ),
        (
            Limits(**{**MANY, "runs_per_hour": 2}),
            99,
            HOSTS[:3],
            "2 runs of all playbooks in the last hour, of 2",
        ),
        (
            Limits(**{**MANY, "targets_per_hour": 2}),
            99,
            HOSTS[:3],
            "2 other targets in the last hour, of 2",
        ),
    ],
    ids=["playbook", "target", "all", "targets"],
)
def test_runs_of_an_hour_are_counted(
    desk: Desk, limits: Limits, per_hour: int, targets: list[Resource], said: str
) -> None:
    """The third is held back and told by what, and an hour later it runs."""
    desk.limits = limits
    desk.bindings[0] = replace(desk.bindings[0], runs_per_hour=per_hour)
    results = asked(desk, *targets)
    last = request(key="last", target=targets[2], metric=None)
    held = desk.engine.handle(last)
    desk.time.move(3601)

    assert results == ["succeeded", "succeeded", "limited"]
    assert held.detail == said
    assert desk.engine.handle(last).result == "succeeded"


def test_a_known_target_is_no_wider(desk: Desk) -> None:
    """With as many targets as may be, more may be done to these."""
    desk.limits = Limits(**{**MANY, "targets_per_hour": 1})

    assert asked(desk, HOST, HOSTS[1], HOST) == ["succeeded", "limited", "succeeded"]


def test_failures_in_a_row_open_the_circuit(desk: Desk) -> None:
    """After three nothing runs for the pause; then one trial that fails opens it again, and one
    that succeeds closes it."""
    desk.bindings[0] = binding("shift-load", desk.program(code=1))
    desk.limits = Limits(**MANY, failures_in_a_row=3, circuit_pause_s=1800.0)

    assert asked(desk, *HOSTS[:4]) == ["failed", "failed", "failed", "limited"]
    desk.time.move(1801)
    assert asked(desk, *HOSTS[:2], start=10) == ["failed", "limited"]
    desk.time.move(1801)
    desk.bindings[0] = binding("shift-load", desk.program())
    assert asked(desk, *HOSTS[:3], start=20) == ["succeeded", "succeeded", "succeeded"]


def test_a_trial_is_one_run_and_over_when_it_is_verified(desk: Desk) -> None:
    """Until the metric of the trial is back nothing more runs, and if it does not the circuit is
    open again."""
    desk.limits = Limits(**MANY, failures_in_a_row=1, circuit_pause_s=1800.0)
    desk.bindings[0] = binding("shift-load", desk.program(code=1))
    asked(desk, HOST)
    desk.bindings[0] = binding("shift-load", desk.program())
    desk.time.move(1801)
    trial = desk.engine.handle(request(key="trial"))
    meanwhile = desk.engine.handle(request(key="more", target=HOSTS[1], metric=None))
    desk.time.move(700)
    desk.engine.verify_due()
    after = desk.engine.handle(request(key="more", target=HOSTS[1], metric=None))

    assert trial.result == "succeeded"
    assert "tries it, is not over" in meanwhile.detail
    assert after.detail == "its last 1 runs failed; it is tried again in 1800 s"


def test_what_succeeds_between_failures_keeps_the_circuit_closed(desk: Desk) -> None:
    """Only failures in a row count."""
    desk.limits = Limits(**MANY, failures_in_a_row=2)
    results = []
    for number, code in enumerate((1, 0, 1, 0, 1)):
        desk.bindings[0] = binding("shift-load", desk.program(code=code))
        results += asked(desk, HOST, start=number)

    assert results == ["failed", "succeeded", "failed", "succeeded", "failed"]


@pytest.mark.parametrize("days", [-365, -1, 1, 365])
def test_a_clock_that_is_set_frees_no_limit(desk: Desk, days: int) -> None:
    """M5: whichever way the wall clock jumps, what is left of a cooldown stays."""
    desk.bindings[0] = replace(desk.bindings[0], cooldown_s=600.0)
    asked(desk, HOST)
    desk.time.wall_us += days * 86_400 * 1_000_000

    assert asked(desk, HOST, start=1) == ["limited"]
    desk.time.move(601)
    assert asked(desk, HOST, start=2) == ["succeeded"]


def test_a_boot_with_an_older_clock_frees_no_limit(desk: Desk) -> None:
    """After a boot the wall clock is gone by, and one that went back adds nothing."""
    desk.bindings[0] = replace(desk.bindings[0], cooldown_s=600.0)
    asked(desk, HOST)
    desk.time.boot, desk.time.boot_us = "boot-2", 0
    desk.time.wall_us -= 86_400 * 1_000_000

    assert asked(desk, HOST, start=1) == ["limited"]
    desk.time.move(601)
    assert asked(desk, HOST, start=2) == ["succeeded"]


def test_dry_runs_are_held_by_the_same_limits_and_hold_no_run_back(desk: Desk) -> None:
    """A dry run shows what would be held back; a real one is counted apart."""
    desk.bindings[0] = replace(desk.bindings[0], cooldown_s=600.0)
    dry = [
        desk.engine.handle(request(key=f"dry-{n}", metric=None), dry_run=True).result
        for n in range(2)
    ]

    assert dry == ["dry_run", "limited"]
    assert asked(desk, HOST) == ["succeeded"]


def test_what_was_limited_may_be_asked_again(desk: Desk) -> None:
    """A repeated alert acts once its limit is over: its key was not used up."""
    desk.bindings[0] = replace(desk.bindings[0], cooldown_s=600.0)
    asked(desk, HOST)
    alert = request(key="alert", metric=None)
    held = desk.engine.handle(alert).result
    desk.time.move(601)

    assert (held, desk.engine.handle(alert).result) == ("limited", "succeeded")
