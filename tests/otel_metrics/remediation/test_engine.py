"""What becomes of a request, from the kill switch to the audit's last line."""

import json
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_metrics.catalog.loader import builtin
from otel_metrics.remediation.errors import LedgerError
from otel_metrics.remediation.model import Limits, Notice, Outcome, Request, Rule, StepResult
from otel_metrics.remediation.waiting import ALIKE_MAX, QUEUE_MAX
from otel_metrics.service.samples import Resource
from otel_metrics.sqlite import DatabaseError
from otel_metrics.testing import capture
from tests.otel_metrics.remediation.desks import CPU, HOST, HOSTS, Desk, binding, request

ACTIONS = "remediation.actions"


def test_a_request_that_policy_lets_run_runs_once_and_is_in_the_audit(desk: Desk) -> None:
    """Request, intent and result stand in the audit in this order, in one chain."""
    outcome = desk.engine.handle(request(parameters={"share": 20}))

    assert (outcome.result, desk.words()) == ("succeeded", ["done share=20"])
    assert desk.audit.told() == [
        ("requested", "admitted"),
        ("intent", "intended"),
        ("result", "succeeded"),
    ]
    assert desk.faults() == []


@pytest.mark.parametrize("became", ["admitted", "dry_run", "waiting", "refused"])
def test_what_a_request_follows_from_is_in_the_audit(desk: Desk, became: str) -> None:
    """Whatever became of it: who reads the audit need not look for the recommendation."""
    desk.bindings.append(binding("scale-nodes", desk.program()))
    evidence = {"recommendation_id": "r-1", "confidence": 0.75, "values": [97.0, 98.5, 99.0]}
    playbook = {"waiting": "scale-nodes", "refused": "no-such"}.get(became, "shift-load")
    desk.engine.handle(request(playbook, evidence=evidence), dry_run=became == "dry_run")
    said = desk.audit.lines()[0]["attributes"]

    assert said["result"] == became
    assert json.loads(said["payload"])["evidence"] == evidence


def test_an_entry_says_who_what_why_and_by_which_file(desk: Desk) -> None:
    """Whoever reads an intent knows exactly what was about to be done."""
    outcome = desk.engine.handle(request())
    said = desk.audit.lines()[1]["attributes"]

    kept = {key: said[key] for key in said if key not in ("entry_hash", "previous_hash", "payload")}
    assert kept == {
        "sequence": 2,
        "remediation.ledger.id": said["remediation.ledger.id"],
        "actor": "recommendation",
        "action": "executed_playbook_shift-load",
        "resource": "host/web-1",
        "subsystem": "infra",
        "result": "intended",
        "timestamp": "2027-01-15T08:00:00.000000Z",
        "metric_id": CPU,
        "service.band": "critical",
        "reason": "three samples in critical",
        "playbook.id": "shift-load",
        "remediation.run.id": outcome.run_id,
        "remediation.key": "key-1",
        "remediation.configuration.sha256": "c0ffee",
        "remediation.parameters": '{"share":10}',
        "remediation.plan": said["remediation.plan"],
        "remediation.detail": "rule 2 of the policy",
    }
    assert "/bin/sh" in said["remediation.plan"]


def test_what_is_in_the_audit_is_an_event_too(desk: Desk) -> None:
    """Events say the same as the audit, entry by entry."""
    desk.engine.handle(request())

    assert [(name, dict(fields)) for name, fields in desk.events] == [
        (line["event"], line["attributes"]) for line in desk.audit.lines()
    ]


@pytest.mark.parametrize(
    ("changes", "result", "said"),
    [
        ({"playbook": "shift-laod"}, "refused", "playbook=shift-laod: is no playbook"),
        ({"target": Resource("host", "db-9")}, "refused", "target=host/db-9: is not known"),
        ({"parameters": {"share": 51}}, "refused", "share=51: is above 50; give at most 50"),
        ({"parameters": {"shares": 5}}, "refused", "did you mean"),
        ({"actor": " "}, "refused", "actor='': is empty; name who asks"),
        ({"key": ""}, "refused", "key='': is empty"),
        ({"playbook": "scale-workers"}, "notified", "nothing is bound to scale-workers"),
    ],
)
def test_what_may_not_be_done_is_not_done(
    desk: Desk, changes: dict[str, Any], result: str, said: str
) -> None:
    """A wrong word anywhere is refused with the word, and nothing runs."""
    outcome = desk.engine.handle(request(**changes))

    assert outcome.result == result
    assert said in outcome.detail
    assert desk.words() == []


@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.dictionaries(
        st.text(max_size=9),
        st.text(max_size=9) | st.integers() | st.floats() | st.none(),
        max_size=3,
    ),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_asked_has_an_outcome(
    desk: Desk,
    caplog: pytest.LogCaptureFixture,
    text: str,
    more: str,
    parameters: dict[str, Any],
) -> None:
    """Texts of anybody, with half characters and NUL, raise nothing and leave a sound audit."""
    hostile = text + "\ud800\x00\u2028"
    for asked in (
        request(key=more, parameters=parameters, reason=hostile, actor=hostile, metric=None),
        request(hostile, key=hostile, parameters=parameters),
        request(key=more, target=Resource(more, hostile), metric=more),
        request("scale-workers", key=hostile + more, parameters=parameters, metric=hostile),
    ):
        assert desk.engine.handle(asked).result != "failed"

    assert "a request failed" not in caplog.text
    assert desk.faults() == []


def test_targets_that_cannot_be_read_are_no_line_a_request(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is done, who asks is told to ask again, and the log is not filled: whose file it is
    says what is wrong with it."""

    class Broken:
        def __contains__(self, target: object) -> bool:
            raise DatabaseError("service.db: disk I/O error")

    engine = desk.another(known_targets=Broken)
    outcomes = [engine.handle(request(key=f"{number}")) for number in range(3)]

    assert [outcome.result for outcome in outcomes] == ["refused"] * 3
    assert "service.db: disk I/O error" in outcomes[0].detail
    assert caplog.text == ""
    with pytest.raises(LedgerError):
        engine.plan(request())


def test_a_target_that_the_binding_does_not_name_is_refused(desk: Desk) -> None:
    """The operator's list of targets holds, whatever else is known."""
    desk.bindings[0] = replace(desk.bindings[0], targets=frozenset({"web-2"}))

    assert desk.engine.handle(request()).result == "refused"
    assert desk.words() == []


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("file disabled", "`enabled` is not true at the top of the file"),
        ("playbook disabled", "`enabled` is not true at the playbook"),
        ("no audit", "there is no audit with a key; see OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE"),
        ("asked for", "no more was asked for"),
    ],
)
def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    desk: Desk, why: str, said: str
) -> None:
    """Without both switches of the operator, and without an audit, every run is dry."""
    desk.enabled = why != "file disabled"
    desk.bindings[0] = replace(desk.bindings[0], enabled=why != "playbook disabled")
    desk.audited = why != "no audit"
    outcome = desk.engine.handle(request(), dry_run=why == "asked for")

    assert (outcome.result, desk.words()) == ("dry_run", [])
    assert outcome.detail.startswith("would be run, by rule ")
    assert outcome.detail.endswith(f"; dry, as {said}")
    assert [name for name, _ in desk.events] == ["remediation.requested"]
    assert desk.events[0][1]["result"] == "dry_run"
    assert len(desk.audit.lines()) == (0 if why == "no audit" else 1)


def test_a_key_is_acted_on_once_and_never_again(desk: Desk) -> None:
    """The same recommendation is repeated, also a year later; a dry run of it spends nothing."""
    desk.engine.handle(request(metric=None), dry_run=True)
    first = desk.engine.handle(request(metric=None))
    desk.time.move(366 * 86_400)
    again = desk.engine.handle(request(metric=None))

    assert again == Outcome(
        result="repeated", detail=f"run {first.run_id} was for it", run_id=first.run_id
    )
    assert desk.words() == ["done share=10"]


def test_policy_refuses(desk: Desk) -> None:
    """What a rule refuses does not run, and the audit says by which."""
    desk.policy = (Rule(decision="refuse", metric="infra.*"), *desk.policy)
    outcome = desk.engine.handle(request())

    assert outcome == Outcome(result="refused", detail="rule 1 of the policy")
    assert desk.audit.told() == [("requested", "refused")]


def test_the_first_step_that_fails_ends_the_run(desk: Desk) -> None:
    """M7: of five steps the third fails: two are done, none after, and the audit says which."""
    steps = [desk.program(str(n), code=3 if n == 3 else 0) for n in range(1, 6)]
    desk.bindings[0] = binding("shift-load", *steps)
    outcome = desk.engine.handle(request())

    assert (outcome.result, outcome.detail) == ("failed", "step 3 of 5: 3")
    assert [line.split()[0] for line in desk.words()] == ["1", "2", "3"]
    said = desk.audit.lines()[-1]["attributes"]
    assert (said["result"], said["remediation.exit_code"]) == ("failed", 3)


def test_a_rollback_runs_where_it_is_declared(desk: Desk) -> None:
    """M7: after a failure what was declared is done, in order."""
    desk.bindings[0] = binding(
        "shift-load",
        desk.program("act", code=1),
        rollback=(desk.program("undo-1"), desk.program("undo-2")),
    )
    outcome = desk.engine.handle(request())

    assert outcome.detail == "step 1 of 1: act; rollback succeeded: undo-2"
    assert [line.split()[0] for line in desk.words()] == ["act", "undo-1", "undo-2"]


def test_a_rollback_that_fails_ends_and_is_told(desk: Desk) -> None:
    """M7: nothing goes on silently after a rollback's step that failed."""
    desk.bindings[0] = binding(
        "shift-load",
        desk.program("act", code=1),
        rollback=(desk.program("undo-1", code=9), desk.program("undo-2")),
    )
    outcome = desk.engine.handle(request())

    assert (outcome.result, outcome.detail) == (
        "failed",
        "step 1 of 1: act; rollback failed: undo-1",
    )
    run = desk.engine.history()[0]
    assert [(step.phase, step.verdict, step.exit_code) for step in run.steps] == [
        ("step", "failed", 1),
        ("rollback", "failed", 9),
    ]


def test_a_step_that_raises_fails_the_run(desk: Desk) -> None:
    """What a step must not do harms nobody: the run has an end."""

    def explode() -> None:
        raise RuntimeError("boom")

    desk.bindings[0] = binding("shift-load", desk.program(then=explode))
    outcome = desk.engine.handle(request())

    assert (outcome.result, outcome.detail) == ("failed", "step 1 of 1: RuntimeError: boom")


def test_the_kill_switch_refuses(desk: Desk) -> None:
    """While its file exists nothing runs, whoever made it and with whatever in it."""
    desk.stop_file.write_bytes(b"\xff\x00")
    outcome = desk.engine.handle(request())

    assert outcome.result == "refused"
    assert outcome.detail == f"stopped: {desk.stop_file} exists"
    assert desk.words() == []


def test_a_kill_switch_that_nobody_could_turn_on_is_on(desk: Desk) -> None:
    """Where its folder is gone, as with a volume that is no longer there, nobody could stop."""
    desk.stop_file = desk.folder / "volume" / "stop"
    outcome = desk.engine.handle(request())

    assert outcome.result == "refused"
    assert outcome.detail == f"stopped: {desk.stop_file.parent} is not there, for the stop file"
    assert desk.words() == []


def test_the_variable_of_the_kill_switch_refuses(desk: Desk) -> None:
    """It holds without any file."""
    outcome = desk.another(stop=True).handle(request())

    assert outcome.detail == "stopped: OTEL_PYTHON_METRICS_REMEDIATION_STOP is true"


def test_the_kill_switch_stops_between_two_steps(desk: Desk) -> None:
    """M8: what is not begun does not begin, and no rollback either."""
    desk.bindings[0] = binding(
        "shift-load",
        desk.program("1", then=desk.stop_file.touch),
        desk.program("2"),
        rollback=(desk.program("undo"),),
    )
    outcome = desk.engine.handle(request())

    assert (outcome.result, outcome.detail) == (
        "stopped",
        f"step 2 of 2: {desk.stop_file} exists",
    )
    assert [line.split()[0] for line in desk.words()] == ["1"]


def test_the_switch_is_turned_by_a_named_person(desk: Desk) -> None:
    """Who stopped it and why is in the refusal and in the audit, and so is who let it go on."""
    assert desk.engine.switch(on=True, actor="ann", reason="storm")
    refused = desk.engine.handle(request())
    assert desk.engine.switch(on=False, actor="bob", reason="calm")
    assert not desk.engine.switch(on=False, actor="bob", reason="calm")
    ran = desk.engine.handle(request(key="key-2"))

    assert refused.detail.endswith("ann: storm")
    assert ran.result == "succeeded"
    said = [line["attributes"] for line in desk.audit.lines()]
    assert [(each["actor"], each["action"]) for each in said[:3]] == [
        ("ann", "stop_playbooks"),
        ("recommendation", "executed_playbook_shift-load"),
        ("bob", "resume_playbooks"),
    ]


def test_to_stop_needs_no_ledger(desk: Desk) -> None:
    """Where it cannot be written nothing goes on, and the switch can be turned on all the same."""
    (desk.folder / "ledger.db").mkdir()

    assert desk.engine.switch(on=True, actor="ann", reason="storm")
    assert desk.stop_file.exists()
    with pytest.raises(LedgerError):
        desk.engine.switch(on=False, actor="ann", reason="calm")
    assert desk.stop_file.exists()


@pytest.mark.slow
def test_approvals_that_wait_are_a_gauge(desk: Desk) -> None:
    """`remediation.approvals.pending` is there once the engine looked."""
    desk.bindings.append(binding("scale-nodes", desk.program("nodes")))
    desk.engine.handle(request("scale-nodes"))
    with capture() as seen:
        desk.engine.start()
        deadline = time.monotonic() + 30
        while not seen.value("remediation.approvals.pending") and time.monotonic() < deadline:
            time.sleep(0.01)
        desk.engine.stop(time.monotonic() + 30)

        assert seen.value("remediation.approvals.pending") == 1


def test_nothing_is_done_that_the_audit_cannot_be_told(desk: Desk) -> None:
    """A failed append stops the action, and what was decided is told once the audit works."""
    desk.audit.fails = True
    outcome = desk.engine.handle(request(metric=None))
    desk.audit.fails = False
    later = desk.engine.handle(request(key="key-2", metric=None))

    assert outcome.result == "failed"
    assert outcome.detail == (
        "nothing was done: the audit could not be written: no room on the disk"
    )
    assert later.result == "succeeded"
    assert desk.words() == ["done share=10"]
    assert [result for _, result in desk.audit.told()] == [
        *("admitted", "intended", "failed"),
        *("admitted", "intended", "succeeded"),
    ]
    assert desk.faults() == []


def test_a_result_that_the_audit_does_not_take_is_told_later(desk: Desk) -> None:
    """The action was done, and the next look tells the audit so, once."""

    def fail() -> None:
        desk.audit.fails = True

    desk.bindings[0] = binding("shift-load", desk.program(then=fail))
    outcome = desk.engine.handle(request())
    before = desk.audit.told()
    desk.audit.fails = False
    desk.engine.verify_due()

    assert outcome.result == "succeeded"
    assert before == [("requested", "admitted"), ("intent", "intended")]
    assert desk.audit.told() == [*before, ("result", "succeeded")]
    assert desk.faults() == []


def test_a_ledger_that_cannot_be_written_lets_nothing_run(desk: Desk) -> None:
    """Whether it may run cannot be told, so it does not, and nothing raises."""
    (desk.folder / "ledger.db").mkdir()
    outcome = desk.engine.handle(request())

    assert outcome.result == "refused"
    assert desk.words() == []


def test_what_is_not_bound_is_notified_once(desk: Desk) -> None:
    """An event and the webhook say it; a repetition says nothing more."""
    sent: list[str] = []

    def send(event: str, fields: object) -> StepResult:
        sent.append(event)
        return StepResult(verdict="succeeded", detail="")

    desk.notice = Notice(send=send)
    asked = request("scale-workers")

    assert [desk.engine.handle(asked).result for _ in range(2)] == ["notified", "repeated"]
    assert sent == ["remediation.notified"]
    assert [name for name, _ in desk.events] == ["remediation.notified"]
    assert desk.events[0][1]["playbook.id"] == "scale-workers"


def test_every_outcome_is_counted(desk: Desk) -> None:
    """`remediation.actions` says what became of each, and has no series of invented names."""
    with capture() as seen:
        desk.engine.handle(request())
        desk.engine.handle(request())
        desk.engine.handle(request("no-such"))

    def counted(playbook: str, result: str) -> float:
        return seen.value(ACTIONS, {"playbook.id": playbook, "remediation.result": result})

    assert counted("shift-load", "succeeded") == 1
    assert counted("shift-load", "repeated") == 1
    assert counted("unknown", "refused") == 1
    assert len(seen.points(ACTIONS)) == 3


def test_every_event_is_as_the_catalog_declares_it(desk: Desk) -> None:
    """No attribute that it does not list, and none missing that it requires."""
    desk.bindings.append(binding("scale-nodes", desk.program("nodes")))
    desk.engine.handle(request())
    desk.sample("good")
    desk.engine.verify_due()
    desk.engine.handle(request("scale-nodes", key="key-2"))
    desk.engine.handle(request("scale-workers", key="key-3"))
    desk.engine.switch(on=True, actor="ann", reason="storm")
    declared = builtin().events

    assert {name for name, _ in desk.events} == {
        name for name, event in declared.items() if event.domain == "remediation"
    }
    for name, fields in desk.events:
        required = {key for key, level in declared[name].levels.items() if level == "required"}
        assert required <= fields.keys() <= set(declared[name].attributes)


def test_a_plan_says_what_would_become_of_it_and_does_nothing(desk: Desk) -> None:
    """It shows the argv, and nothing of it is in ledger or audit."""
    plan = desk.engine.plan(request())

    assert plan.outcome is None
    assert plan.considered is not None
    assert plan.considered.plan[0][0] == "/bin/sh"
    assert (desk.words(), desk.audit.lines(), desk.engine.history()) == ([], [], [])


def test_a_plan_says_what_is_against_it(desk: Desk) -> None:
    """Refused, waiting, limited and repeated are told as `handle` would."""
    desk.bindings[0] = replace(desk.bindings[0], cooldown_s=60.0)
    desk.bindings.append(binding("scale-nodes", desk.program()))
    desk.engine.handle(request(metric=None))
    asked = [
        request(key="key-2", metric=None),
        request(metric=None),
        request("scale-nodes", key="key-3"),
        request(parameters={"share": 99}),
    ]

    outcomes = [desk.engine.plan(each).outcome for each in asked]
    assert [outcome and outcome.result for outcome in outcomes] == [
        "limited",
        "repeated",
        "waiting",
        "refused",
    ]


def submitted(desk: Desk, asked: Iterable[Request]) -> Counter[str]:
    """Submit requests, and count what was said of each at once."""
    outcomes = [desk.engine.submit(each) for each in asked]
    return Counter("taken" if each is None else each.result for each in outcomes)


def hosts(count: int) -> list[Request]:
    """Return requests, each for another target."""
    return [request(key=f"key-{n}", target=Resource("host", f"host-{n}")) for n in range(count)]


def test_a_full_queue_drops_and_says_so(desk: Desk) -> None:
    """Nobody waits: what finds no room is an outcome at once, and is counted."""
    with capture() as seen:
        outcomes = submitted(desk, hosts(QUEUE_MAX + 2))

    labels = {"playbook.id": "shift-load", "remediation.result": "dropped"}
    assert outcomes == {"taken": QUEUE_MAX, "dropped": 2}
    assert seen.value("remediation.actions", labels) == 2


def test_a_storm_for_one_target_leaves_room_for_others(desk: Desk) -> None:
    """What a run for the same holds back anyway takes no place in the queue."""
    storm = submitted(desk, [request(key=f"storm-{n}") for n in range(10 * QUEUE_MAX)])
    others = submitted(desk, hosts(100))

    assert storm == {"taken": ALIKE_MAX, "dropped": 10 * QUEUE_MAX - ALIKE_MAX}
    assert others == {"taken": 100}


def test_the_same_waits_once(desk: Desk) -> None:
    """Whoever asks again is told so at once; another request of the same key may be what is let
    run, and waits, too."""
    asked = [request(), request(), request("scale-workers")]

    assert submitted(desk, asked) == {"taken": 2, "repeated": 1}


@pytest.mark.slow
def test_of_a_storm_that_is_submitted_no_more_runs_than_limits_allow(desk: Desk) -> None:
    """Every request is counted, whatever became of it, and what runs does so at most as often as
    it may."""
    desk.limits = Limits(runs_per_hour=30, target_runs_per_hour=4, targets_per_hour=9)
    asked = [
        request(key=f"storm-{n}", target=HOSTS[n % len(HOSTS)], metric=None) for n in range(10_000)
    ]
    desk.engine.start()
    with capture() as seen:
        submitted(desk, asked)
        deadline = time.monotonic() + 60
        while seen.value(ACTIONS) < len(asked) and time.monotonic() < deadline:
            time.sleep(0.05)
        counted = seen.value(ACTIONS)
    desk.engine.stop(time.monotonic() + 30)

    assert counted == len(asked)
    assert 9 <= len(desk.words()) <= 30
    assert len({run.request.target for run in desk.engine.history(limit=1_000)}) == 9
    assert desk.faults() == []


@pytest.mark.slow
def test_the_thread_works_off_what_is_submitted(desk: Desk) -> None:
    """What was submitted runs without its caller, and an end waits for what runs."""
    desk.engine.start()
    assert desk.engine.submit(request()) is None
    deadline = time.monotonic() + 30
    while not desk.audit.told()[2:] and time.monotonic() < deadline:
        time.sleep(0.01)
    desk.engine.stop(time.monotonic() + 10)

    assert desk.words() == ["done share=10"]
    assert desk.engine.submit(request(key="key-2")) is not None


def test_a_request_for_a_metric_waits_for_the_verification_of_the_last(desk: Desk) -> None:
    """Own actions trigger nothing: a run that is not verified yet holds the next one back."""
    desk.bindings.append(binding("scale-workers", desk.program("scale")))
    desk.engine.handle(request())
    second: Request = request("scale-workers", key="key-2")
    outcome = desk.engine.handle(second)
    desk.sample("good")
    desk.engine.verify_due()

    assert outcome.result == "limited"
    assert "not yet verified" in outcome.detail
    assert desk.engine.handle(second).result == "succeeded"
    assert second.target == HOST


def test_an_end_stops_what_runs(desk: Desk) -> None:
    """What is begun is stopped and told so, what is asked for later is refused."""

    def end() -> None:
        desk.engine.stop(time.monotonic())

    desk.bindings[0] = binding("shift-load", desk.program("1", then=end), desk.program("2"))
    outcome = desk.engine.handle(request())

    assert (outcome.result, outcome.detail) == ("stopped", "step 2 of 2: the service ends")
    assert desk.audit.told()[-1] == ("result", "stopped")
    assert desk.engine.handle(request(key="key-2")).detail == "the service ends"


@pytest.mark.slow
def test_a_result_that_the_ledger_does_not_take_is_told_later(desk: Desk) -> None:
    """What was done stays known while the ledger is held, and is in it afterwards."""
    other = sqlite3.connect(desk.folder / "ledger.db", isolation_level=None)

    def hold() -> None:
        other.execute("BEGIN IMMEDIATE")

    desk.bindings[0] = binding("shift-load", desk.program(then=hold))
    outcome = desk.engine.handle(request(metric=None))
    other.execute("ROLLBACK")
    other.close()
    before = desk.engine.history()[0].state
    desk.engine.start()
    deadline = time.monotonic() + 30
    while desk.engine.history()[0].state != "ended" and time.monotonic() < deadline:
        time.sleep(0.01)
    desk.engine.stop(time.monotonic() + 30)

    assert outcome.result == "succeeded"
    assert "not in the ledger yet" in outcome.detail
    assert (before, desk.engine.history()[0].result) == ("begun", "succeeded")
    assert desk.audit.told()[-1] == ("result", "succeeded")
    assert desk.faults() == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_acts_for_itself(desk: Desk) -> None:
    """It has a thread and a queue of its own, and what its parent runs is its parent's."""
    seen: list[int] = []
    parent = os.getpid()

    def fork() -> None:
        if os.getpid() != parent:
            return
        child = os.fork()
        if child:
            seen.append(os.waitpid(child, 0)[1])
            return
        try:
            desk.engine.after_fork()
            desk.engine.recover()
            own = desk.engine.handle(request(key="child", target=HOSTS[1], metric=None))
            parents = desk.engine.history()[1]
            os._exit(0 if (own.result, parents.state) == ("succeeded", "begun") else 1)
        finally:
            os._exit(2)

    desk.bindings[0] = binding("shift-load", desk.program(then=fork))
    outcome = desk.engine.handle(request(metric=None))

    assert (seen, outcome.result) == ([0], "succeeded")
    assert desk.faults() == []
    assert desk.words() == ["done share=10"] * 2
