"""Whether an action helped is what the metric says afterwards, and nothing else."""

from dataclasses import replace

import pytest

from otel_metrics.remediation.model import Verification
from otel_metrics.service.samples import BandName
from tests.otel_metrics.remediation.desks import CPU, HOST, Desk, request


def verified(desk: Desk) -> tuple[str | None, list[tuple[str, str]]]:
    """Look, and return what the newest run's verification is and what the audit says after it."""
    desk.engine.verify_due()
    return desk.engine.history()[0].verification, desk.audit.told()[3:]


def test_back_in_its_band_in_time_is_verified(desk: Desk) -> None:
    """A sample of after the run, in the band, passes; later ones change nothing."""
    desk.engine.handle(request())
    desk.sample("good")

    assert verified(desk) == ("passed", [("verified", "verified")])
    desk.sample("critical")
    desk.time.move(3600)
    assert verified(desk) == ("passed", [("verified", "verified")])


@pytest.mark.parametrize("band", ["warning", "critical"])
def test_out_of_its_band_when_the_time_is_over_is_not_verified(desk: Desk, band: BandName) -> None:
    """Before that it is open; then it counts as a failure."""
    desk.engine.handle(request())
    desk.sample(band)

    assert verified(desk) == ("due", [])
    desk.time.move(601)
    assert verified(desk) == ("failed", [("verified", "not_verified")])


def test_a_sample_of_before_the_run_proves_nothing(desk: Desk) -> None:
    """A stale value in the band is no return to it."""
    desk.engine.handle(request())
    desk.sample("good", after_s=-5)

    assert verified(desk)[0] == "due"


def test_a_sample_of_before_the_run_is_not_what_the_audit_tells_of(desk: Desk) -> None:
    """A source that fell silent in its band is not said to be out of it."""
    desk.engine.handle(request())
    desk.sample("good", after_s=-5)
    desk.time.move(631)

    assert verified(desk)[0] == "failed"
    said = desk.audit.lines()[-1]["attributes"]
    assert said["remediation.detail"] == f"{CPU} has no value of after the run"
    assert "service.band" not in said


def test_absent_data_proves_nothing(desk: Desk) -> None:
    """M5: without a sample it is not verified, once those who may have one had time."""
    desk.engine.handle(request())
    desk.time.move(601)
    assert verified(desk)[0] == "due"

    desk.time.move(30)
    assert verified(desk) == ("failed", [("verified", "not_verified")])


def test_a_run_that_failed_is_not_verified(desk: Desk) -> None:
    """There is nothing to hope for."""
    desk.bindings[0] = replace(desk.bindings[0], steps=(desk.program(code=1),))
    desk.engine.handle(request())

    assert verified(desk) == (None, [])


def test_a_playbook_may_be_verified_by_another_metric(desk: Desk) -> None:
    """The binding's metric is looked at, also where the request names none."""
    wanted = Verification(metric=CPU, band="warning", within_s=60.0)
    desk.bindings[0] = replace(desk.bindings[0], verification=wanted)
    desk.engine.handle(request(metric=None))
    desk.sample("warning")

    assert verified(desk)[0] == "passed"


def test_processes_that_look_at_once_say_it_once(desk: Desk) -> None:
    """Each run is verified by one of them."""
    desk.engine.handle(request())
    desk.sample("good")
    for engine in (desk.another(), desk.another(), desk.engine):
        engine.verify_due()

    assert desk.audit.told()[3:] == [("verified", "verified")]
    assert desk.samples[CPU, HOST].band == "good"
