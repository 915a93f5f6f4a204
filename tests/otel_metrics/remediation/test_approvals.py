"""A person agrees to exactly what is then done, once, in time."""

from dataclasses import replace

import pytest

from otel_metrics.remediation.approvals import Approval
from otel_metrics.remediation.errors import DecidedError, NotAllowedError, UnknownApprovalError
from otel_metrics.remediation.model import Outcome, Request, Rule
from otel_metrics.service.samples import Resource
from otel_metrics.testing import capture
from tests.otel_metrics.remediation.desks import Desk, binding, request

NODES = request("scale-nodes", metric=None)


@pytest.fixture
def nodes(desk: Desk) -> Desk:
    """A desk with a playbook of high risk."""
    desk.bindings.append(binding("scale-nodes", desk.program("nodes")))
    return desk


def asked(desk: Desk, of: Request = NODES) -> str:
    """Ask, and return the approval's id."""
    outcome = desk.engine.handle(of)
    assert outcome.result == "waiting"
    assert outcome.approval_id is not None
    return outcome.approval_id


def decided(
    desk: Desk, approval_id: str, decision: str = "approve", actor: str = "ann"
) -> Approval:
    """Decide on an approval."""
    return desk.engine.approvals.decide(approval_id, decision, actor=actor, reason="ok")  # type: ignore[arg-type]  # one of two


def test_high_risk_waits_is_approved_and_runs_once(nodes: Desk) -> None:
    """Nothing runs before; afterwards it runs once, however often it is looked."""
    approval_id = asked(nodes)
    before = nodes.words()
    decided(nodes, approval_id)
    for _ in range(3):
        nodes.engine.run_approved()

    assert (before, nodes.words()) == ([], ["nodes"])
    assert nodes.audit.told() == [
        ("requested", "waiting"),
        ("approval", "pending"),
        ("approval", "approved"),
        ("intent", "intended"),
        ("result", "succeeded"),
    ]
    assert nodes.faults() == []
    run = nodes.engine.history()[0]
    assert nodes.engine.approvals.get(approval_id).run_id == run.id
    assert (run.approval_id, run.request.actor) == (approval_id, "recommendation")


def test_without_an_audit_nothing_that_was_approved_runs(nodes: Desk) -> None:
    """It waits for a process that can write down what it does."""
    decided(nodes, asked(nodes))
    nodes.another(audit=None, entries=None).run_approved()
    before = nodes.words()
    nodes.engine.run_approved()

    assert (before, nodes.words()) == ([], ["nodes"])


def test_an_approval_shows_exactly_what_would_be_done(nodes: Desk) -> None:
    """Who decides sees who asked, why, to what, and the argv."""
    found = nodes.engine.approvals.get(asked(nodes))

    assert found.request == NODES
    assert found.plan[0][:2] == ["/bin/sh", "-c"]
    assert (found.tier, found.state, found.expires_at - found.asked_at) == (3, "pending", 1800.0)


def test_what_is_rejected_never_runs(nodes: Desk) -> None:
    """Also not when it is asked for again with the same key."""
    approval_id = asked(nodes)
    decided(nodes, approval_id, "reject")
    nodes.engine.run_approved()

    assert nodes.words() == []
    assert nodes.engine.handle(NODES).result == "repeated"


@pytest.mark.parametrize("first", ["approve", "reject"])
def test_an_approval_is_decided_once(nodes: Desk, first: str) -> None:
    """A second decision is refused, and says by whom and how the first was."""
    approval_id = asked(nodes)
    decided(nodes, approval_id, first)
    nodes.engine.run_approved()

    with pytest.raises(DecidedError, match=f"is {first}.* by ann already"):
        decided(nodes, approval_id, "approve", "bob")
    assert len(nodes.words()) == (first == "approve")


def test_nobody_approves_in_time(nodes: Desk) -> None:
    """After half an hour it is over, which the audit says, and it runs no more."""
    approval_id = asked(nodes)
    nodes.time.move(1801)

    with pytest.raises(DecidedError, match="is expired already"):
        decided(nodes, approval_id)
    nodes.engine.run_approved()
    assert nodes.words() == []
    assert nodes.engine.approvals.get(approval_id).detail == "nobody decided in time"
    assert nodes.audit.told()[-1] == ("approval", "expired")


def test_what_is_approved_and_not_run_in_time_is_over(nodes: Desk) -> None:
    """An old approval does not wait behind a kill switch for ever."""
    approval_id = asked(nodes)
    decided(nodes, approval_id)
    nodes.stop_file.touch()
    nodes.engine.run_approved()
    nodes.time.move(1801)
    nodes.stop_file.unlink()
    nodes.engine.run_approved()

    assert nodes.words() == []
    assert nodes.engine.approvals.get(approval_id).detail == "approved, and not run in time"


def test_what_is_limited_runs_when_it_may(nodes: Desk) -> None:
    """An approval is not used up by a cooldown."""
    nodes.bindings[1] = replace(nodes.bindings[1], cooldown_s=60.0)
    decided(nodes, asked(nodes))
    nodes.engine.run_approved()
    decided(nodes, asked(nodes, replace(NODES, key="key-2")))
    nodes.engine.run_approved()
    before = nodes.words()
    nodes.time.move(61)
    nodes.engine.run_approved()

    assert (before, nodes.words()) == (["nodes"], ["nodes", "nodes"])


@pytest.mark.parametrize("change", ["plan", "policy", "binding gone"])
def test_an_approval_is_of_exactly_what_was_shown(nodes: Desk, change: str) -> None:
    """Where the operator's file would now do something else, or refuse it, nothing is done."""
    approval_id = asked(nodes)
    decided(nodes, approval_id)
    if change == "plan":
        nodes.bindings[1] = binding("scale-nodes", nodes.program("something else"))
    elif change == "policy":
        nodes.policy = (Rule(decision="refuse"),)
    else:
        nodes.bindings.pop()
    nodes.engine.run_approved()

    assert nodes.words() == []
    if change != "binding gone":
        assert nodes.engine.approvals.get(approval_id).state == "expired"
        assert nodes.audit.told()[-1] == ("approval", "expired")


@pytest.mark.parametrize("spelling", ["ann", "Ann ", "ＡＮＮ"])  # noqa: RUF001  # as somebody may try
def test_who_asked_may_not_approve_what_is_dangerous(nodes: Desk, spelling: str) -> None:
    """Of tier 3 and 4 somebody else decides, however the name is written; to reject is free."""
    approval_id = asked(nodes, replace(NODES, actor="ann"))

    with pytest.raises(NotAllowedError, match="let somebody else decide"):
        decided(nodes, approval_id, actor=spelling)
    assert decided(nodes, approval_id, "reject", actor=spelling).state == "rejected"


def test_who_asked_may_approve_the_lower_tiers(desk: Desk) -> None:
    """Where the policy asks about tier 2, the same person may look twice."""
    desk.policy = ()
    approval_id = asked(desk, request(actor="ann"))
    decided(desk, approval_id, actor="ann")
    desk.engine.run_approved()

    assert desk.words() == ["done share=10"]


def test_nobody_decides_without_a_name(nodes: Desk) -> None:
    """An actor is named, or nothing is decided."""
    approval_id = asked(nodes)

    with pytest.raises(NotAllowedError, match="actor='': is empty"):
        decided(nodes, approval_id, actor=" ")


def test_an_approval_that_there_is_not(nodes: Desk) -> None:
    """Its id is told back."""
    with pytest.raises(UnknownApprovalError, match="approval=nope: there is none"):
        decided(nodes, "nope")


def test_the_same_is_asked_for_once(nodes: Desk) -> None:
    """While it waits, the same recommendation under another key is the same approval."""
    approval_id = asked(nodes)

    assert nodes.engine.handle(replace(NODES, key="key-2")) == Outcome(
        result="repeated", detail="the same is waiting already", approval_id=approval_id
    )


def test_a_person_may_ask_for_what_policy_would_let_run(desk: Desk) -> None:
    """An approval that is asked for through the API waits, whatever the policy says."""
    outcome = desk.engine.approvals.create(request(actor="ann"))

    assert (outcome.result, desk.words()) == ("waiting", [])


def test_an_approval_given_in_another_process_is_found(nodes: Desk) -> None:
    """A command decides without a key of the audit; the service runs it, and tells both."""
    approval_id = asked(nodes)
    command = nodes.another(audit=None)
    command.approvals.decide(approval_id, "approve", actor="ann", reason="ok")
    before = nodes.audit.told()
    nodes.engine.run_approved()

    assert before == [("requested", "waiting"), ("approval", "pending")]
    assert nodes.audit.told()[2:] == [
        ("approval", "approved"),
        ("intent", "intended"),
        ("result", "succeeded"),
    ]
    assert nodes.faults() == []


def test_a_clock_that_is_set_keeps_no_approval_alive(nodes: Desk) -> None:
    """Back by a day, and half an hour later it is over all the same."""
    approval_id = asked(nodes)
    nodes.time.wall_us -= 86_400 * 1_000_000
    nodes.time.move(1801)

    assert nodes.engine.approvals.get(approval_id).state == "expired"


def test_approvals_are_listed_and_counted(nodes: Desk) -> None:
    """The newest first, by state, and how many were run."""
    ids = [
        asked(nodes, replace(NODES, key=f"key-{n}", parameters={}, actor=f"a{n}")) for n in range(4)
    ]
    decided(nodes, ids[0])
    nodes.engine.run_approved()
    decided(nodes, ids[1], "reject")

    assert [each.id for each in nodes.engine.approvals.list()] == ids[::-1]
    assert [each.id for each in nodes.engine.approvals.list(state="pending")] == ids[:1:-1]
    assert nodes.engine.approvals.stats() == {
        "pending": 2,
        "approved": 1,
        "rejected": 1,
        "expired": 0,
        "run": 1,
    }


def test_what_is_approved_runs_also_where_its_target_is_not_known(nodes: Desk) -> None:
    """It was known where it was asked for: another process, or one that has only just begun, which
    has no samples of it, does not end the approval."""
    decided(nodes, asked(nodes))
    nodes.another(known_targets=tuple).run_approved()

    assert nodes.words() == ["nodes"]


def test_what_becomes_of_an_approval_is_counted(nodes: Desk) -> None:
    """What was rejected, and what nobody decided in time, is told apart from what still waits."""
    later = request("scale-nodes", key="key-2", metric=None, target=Resource("host", "web-2"))
    with capture() as seen:
        decided(nodes, asked(nodes), "reject")
        asked(nodes, later)
        nodes.time.move(1801)
        nodes.engine.run_approved()
        nodes.engine.run_approved()

    counted = {
        result: seen.value(
            "remediation.actions", {"playbook.id": "scale-nodes", "remediation.result": result}
        )
        for result in ("waiting", "rejected", "expired")
    }
    assert counted == {"waiting": 2, "rejected": 1, "expired": 1}
