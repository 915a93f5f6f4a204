"""Approvals over HTTP: asked for and decided by name, of an engine that runs programs."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from otel_exporter_prometheus.errors import SettingError
from otel_metrics.remediation import configured
from otel_metrics.remediation.engine import Engine
from otel_metrics.testing import Captured
from otel_metrics.web import alert_routes, governance_routes
from tests.otel_metrics.remediation.shop import TOKENS, Shop

DEADLINE_S = 30.0
PATH = "/api/governance/approvals"
STATES = "pending, approved, rejected, expired"
NODES = {
    "playbook": "scale-nodes",
    "target": "web-1",
    "reason": "OPS-7",
    "parameters": {"nodes": 3},
}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """The files of a service."""
    return Shop(tmp_path)


@pytest.fixture
def engine(shop: Shop) -> Iterator[Engine]:
    """The engine of this process."""
    with shop.engine() as engine:
        configured.use(engine)
        yield engine
        configured.use(None)


@pytest.fixture
def ask(shop: Shop) -> Callable[..., tuple[int, Any]]:
    """Asks the routes in the name of somebody, and returns status and JSON."""
    routes = [
        *governance_routes(actors_file=shop.actors),
        *alert_routes(actors_file=shop.actors),
    ]
    app = Starlette(routes=routes)

    def asked(
        name: str, path: str = "", body: object = None, *, method: str | None = None, at: str = PATH
    ) -> tuple[int, Any]:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=("192.0.2.1", 1234))
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(
                    method or ("GET" if body is None else "POST"),
                    f"http://shop.example{at}{path}",
                    headers={
                        "Authorization": f"Bearer {TOKENS.get(name, 'nobody')}",
                        "Content-Type": "application/json",
                    },
                    content=b"" if body is None else json.dumps(body).encode(),
                )

        answer = asyncio.run(request())
        return answer.status_code, answer.json()

    return asked


def until(holds: Callable[[], bool]) -> None:
    """Wait until the engine's thread has done it."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


Ask = Callable[..., tuple[int, Any]]


@pytest.mark.slow
def test_what_is_approved_runs_once(shop: Shop, engine: Engine, ask: Ask) -> None:
    """One person asks, another one approves exactly that, and the service runs it."""
    status, asked = ask("ann", body=NODES)
    assert (status, asked["state"], asked["asked_by"], asked["tier"]) == (201, "pending", "ann", 3)
    assert asked["plan"] == [[str(shop.playbooks.parent / "act"), "nodes", "3"]]

    status, decided = ask(
        "bob", f"/{asked['id']}/decision", {"decision": "approve", "reason": "ok"}
    )
    assert (status, decided["state"], decided["decided_by"]) == (200, "approved", "bob")

    until(lambda: ask("board", f"/{asked['id']}")[1]["run"] is not None)
    until(lambda: shop.did() == ["nodes 3"])
    again = ask("bob", f"/{asked['id']}/decision", {"decision": "approve", "reason": "ok"})
    assert (again[0], list(again[1])) == (409, ["error"])
    assert engine.history()[0].approval_id == asked["id"]


def test_who_asked_may_not_approve(engine: Engine, ask: Ask) -> None:
    """Of high and critical risk two people are needed, whatever their roles."""
    asked = ask("root", body=NODES)[1]
    decision = {"decision": "approve", "reason": "ok"}

    status, said = ask("root", f"/{asked['id']}/decision", decision)

    assert (status, said) == (
        403,
        {
            "error": f"actor=root: asked for approval {asked['id']} of tier 3, and may not give "
            "it; let somebody else decide"
        },
    )
    assert ask("board", f"/{asked['id']}")[1]["state"] == "pending"


def test_what_is_rejected_does_not_run(shop: Shop, engine: Engine, ask: Ask) -> None:
    """Who asked may take it back."""
    asked = ask("ann", body=NODES)[1]
    status, decided = ask("ann", f"/{asked['id']}/decision", {"decision": "reject", "reason": "no"})
    engine.run_approved()

    assert (status, decided["state"], decided["decision_reason"]) == (200, "rejected", "no")
    assert shop.did() == []


def test_approvals_are_listed_and_counted(engine: Engine, ask: Ask) -> None:
    """The newest first, of one state or of all."""
    first = ask("ann", body=NODES)[1]
    second = ask("ann", body={**NODES, "target": "web-2"})[1]
    ask("bob", f"/{first['id']}/decision", {"decision": "reject", "reason": "no"})

    def listed(query: str) -> list[str]:
        return [each["id"] for each in ask("board", query)[1]["approvals"]]

    assert listed("") == [second["id"], first["id"]]
    assert listed("?state=pending") == [second["id"]]
    assert listed("?limit=1") == [second["id"]]
    assert ask("board", "/stats") == (
        200,
        {"approvals": {"pending": 1, "approved": 0, "rejected": 1, "expired": 0, "run": 0}},
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?state=open", f"state=open: is none; give one of {STATES}"),
        ("?limit=0", "limit=0: give a number from 1 to 1000"),
        ("?limit=1001", "limit=1001: give a number from 1 to 1000"),
        ("?limit=²", "limit=²: give a number from 1 to 1000"),
        ("?limit=00001999", "limit=00001999: give a number from 1 to 1000"),
        (f"?limit={'0' * 5_000}1", f"limit={'0' * 60}: give a number from 1 to 1000"),
        (f"?state={'x' * 5_000}", f"state={'x' * 60}: is none; give one of {STATES}"),
        (f"?{'x' * 5_000}=1", f"{'x' * 60} is no filter; give state or limit"),
        ("?stat=pending", "stat is no filter; give state or limit"),
    ],
)
def test_a_wrong_filter_is_refused(ask: Ask, query: str, message: str) -> None:
    """A typo does not list everything."""
    assert ask("board", query) == (400, {"error": message})


@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        (
            {"playbook": "scale-nodse"},
            422,
            "playbook=scale-nodse: is no playbook of the catalog; did you mean 'scale-nodes'?",
        ),
        (
            {"playbook": "scale-nodse", "scope": "host"},
            422,
            "refused: playbook=scale-nodse: is no playbook of the catalog; did you mean",
        ),
        ({"target": "web-7"}, 422, "refused: target=host/web-7: is not known"),
        ({"parameters": {"nodes": 99}}, 422, "refused: nodes=99: is above 20; give at most 20"),
        ({"metric": "infra.cqu"}, 422, "metric=infra.cqu: is no metric of the catalog"),
        ({"playbook": "cleanup-tasks", "scope": "host"}, 422, "notified: nothing is bound to"),
        ({"playbook": "migrate-workloads", "parameters": {}}, 422, "refused: rule 1 of the policy"),
        ({"tier": 1}, 400, "the body is not as it must be: it has the unknown field tier"),
        ({"reason": ""}, 400, "the body is not as it must be: reason: Expected str of length"),
    ],
)
def test_what_cannot_be_done_is_not_asked_for(
    engine: Engine, ask: Ask, change: dict[str, Any], status: int, message: str
) -> None:
    """And the answer says why."""
    found, said = ask("ann", body={**NODES, **change})

    assert (found, said["error"][: len(message)]) == (status, message)
    assert ask("board", "/stats")[1]["approvals"]["pending"] == 0


def test_what_is_refused_is_said_in_few_words(engine: Engine, ask: Ask) -> None:
    """However much was wrong."""
    wrong = {f"n{number}": 1 for number in range(4_000)}
    status, said = ask("ann", body={**NODES, "parameters": wrong})

    assert (status, said["error"][:14]) == (422, "refused: 'n0':")
    assert len(said["error"]) < 3_000


def test_the_same_key_asks_once(engine: Engine, ask: Ask) -> None:
    """A client that got no answer may ask again; somebody else's key is another one."""
    body = {**NODES, "key": "OPS-7"}
    first, second = ask("ann", body=body), ask("ann", body=body)
    other = ask("bob", body=body)

    assert (first[0], second[0], other[0]) == (201, 200, 201)
    assert first[1]["id"] == second[1]["id"] != other[1]["id"]


@pytest.mark.parametrize("name", ["alertmanager", "board"])
def test_other_roles_decide_nothing(engine: Engine, ask: Ask, name: str) -> None:
    """Neither who only looks nor who only alerts."""
    asked = ask("ann", body=NODES)[1]

    assert ask(name, body=NODES)[0] == 403
    assert ask(name, f"/{asked['id']}/decision", {"decision": "approve", "reason": "x"})[0] == 403


@pytest.mark.parametrize("decision", ["approved", "maybe", "", None, True])
def test_a_decision_is_one_of_two_words(engine: Engine, ask: Ask, decision: object) -> None:
    """Nothing else is taken for a yes."""
    asked = ask("ann", body=NODES)[1]

    status, _ = ask("bob", f"/{asked['id']}/decision", {"decision": decision, "reason": "ok"})

    assert (status, ask("board", f"/{asked['id']}")[1]["state"]) == (400, "pending")


def test_an_approval_that_there_is_not(engine: Engine, ask: Ask) -> None:
    """Whatever stands in its place."""
    for name in ("nothing", "%2e%2e", "'; DROP TABLE approvals; --"):
        assert ask("board", f"/{name}")[0] == 404
        decision = {"decision": "approve", "reason": "ok"}
        assert ask("bob", f"/{name}/decision", decision)[0] == 404


def test_without_an_engine_the_answer_says_so(ask: Ask) -> None:
    """Routes may come before telemetry starts."""
    assert ask("board") == (
        503,
        {
            "error": "no playbooks run in this process; set OTEL_PYTHON_METRICS_PLAYBOOKS and "
            "OTEL_PYTHON_METRICS_REMEDIATION_DB, and call otel_metrics.configure()"
        },
    )


def test_without_actors_there_are_no_routes() -> None:
    """Nobody could be named, so nobody is let in."""
    assert (governance_routes(), alert_routes()) == ([], [])


def test_the_variable_names_the_actors(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an argument does; FastAPI takes the routes, too."""
    monkeypatch.setenv("OTEL_PYTHON_METRICS_ACTORS_FILE", str(shop.actors))
    app = FastAPI()
    app.router.routes.extend([*governance_routes(), *alert_routes()])
    paths = [getattr(route, "path", "") for route in app.routes]

    assert [path for path in paths if path.startswith(("/api", "/alerts"))] == [
        PATH,
        f"{PATH}/stats",
        f"{PATH}/{{id}}",
        f"{PATH}/{{id}}/decision",
        "/alerts",
    ]


def test_a_file_that_is_an_argument_must_hold(tmp_path: Path) -> None:
    """Whoever wrote the line is there to mend it."""
    with pytest.raises(SettingError, match="No such file"):
        governance_routes(actors_file=tmp_path / "absent")


def alert(labels: dict[str, str], **more: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": labels,
        "startsAt": "2026-11-28T14:30:00Z",
        "fingerprint": "8a3d2c5e6f708192",
        **more,
    }


def webhook(*alerts: dict[str, Any]) -> dict[str, Any]:
    return {"version": "4", "receiver": "playbooks", "status": "firing", "alerts": list(alerts)}


BUSY = {"alertname": "Busy", "playbook": "shift-load", "resource": "web-1"}


def test_an_alert_runs_its_playbook_once(shop: Shop, engine: Engine, ask: Ask) -> None:
    """However often it is sent."""
    status, said = ask("alertmanager", body=webhook(alert(BUSY)), at="/alerts")
    assert (status, said["results"][0]["result"]) == (200, "queued")
    until(lambda: shop.did() == ["shift web-9"])
    until(lambda: engine.history()[0].state == "ended")

    again = ask("alertmanager", body=webhook(alert(BUSY)), at="/alerts")[1]["results"][0]

    assert again["result"] == "repeated"
    run = engine.history()[0]
    assert (run.request.actor, run.request.metric) == ("alertmanager", "infra.cpu_utilization")
    assert shop.did() == ["shift web-9"]


def test_each_alert_has_a_result(shop: Shop, engine: Engine, ask: Ask) -> None:
    """One that asks for nothing that could be done stops no other one, and is no error."""
    body = webhook(
        alert({**BUSY, "resource": "web-7"}),
        alert({"alertname": "Busy"}),
        alert({**BUSY, "playbook": "scale-nodes"}, fingerprint="1"),
        alert(BUSY, status="resolved"),
        alert({**BUSY, "playbook": "rm -rf /", "resource_scope": "host"}),
    )
    status, said = ask("root", body=body, at="/alerts")

    found = [(each["result"], each["detail"]) for each in said["results"]]
    assert (status, found) == (
        200,
        [
            ("refused", "target=host/web-7: is not known"),
            ("ignored", "it has no label playbook, which names what to do"),
            ("waiting", "no rule of the policy matches"),
            ("ignored", "it is resolved"),
            (
                "refused",
                (
                    "playbook=rm -rf /: is no playbook of the catalog; "
                    "otel-metrics playbooks list has them"
                ),
            ),
        ],
    )
    assert shop.did() == []


def test_what_alerts_come_to_is_counted(
    engine: Engine, ask: Ask, captured_telemetry: Captured
) -> None:
    """Also those that ask for nothing that could be done; no label of theirs makes a series."""
    alerts = [
        alert({"alertname": "Busy"}, fingerprint="1"),
        alert({"alertname": "Busy", "playbook": "$(reboot)"}, fingerprint="2"),
        alert({"alertname": "Busy", "playbook": "shift-load"}, fingerprint="3"),
        alert({**BUSY, "resource": "web-7"}, fingerprint="4"),
        alert({**BUSY, "playbook": "$(reboot)", "resource_scope": "host"}, fingerprint="5"),
    ]
    ask("alertmanager", body=webhook(*alerts), at="/alerts")
    until(lambda: len(engine.history()) == 2)

    def counted(playbook: str) -> float:
        attributes = {"playbook.id": playbook, "remediation.result": "refused"}
        return captured_telemetry.value("remediation.actions", attributes)

    until(lambda: counted("unknown") == 3)
    assert counted("shift-load") == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"version": "3", "alerts": []}, 400),
        (webhook({"labels": {}}), 400),
        (webhook(alert({"playbook": 7})), 400),  # type: ignore[dict-item] # that is the test
        (webhook(alert(BUSY, fingerprint="../../etc")), 400),
        (webhook(alert({**BUSY, "summary": "x" * 2**20})), 413),
    ],
)
def test_what_is_no_webhook_is_refused_for_good(
    engine: Engine, ask: Ask, body: object, status: int
) -> None:
    """Alertmanager does not send it again."""
    assert ask("alertmanager", body=body, at="/alerts")[0] == status


def test_without_an_engine_alerts_are_sent_again(ask: Ask) -> None:
    """5xx is what makes Alertmanager do so."""
    assert ask("alertmanager", body=webhook(alert(BUSY)), at="/alerts")[0] == 503


def test_what_the_queue_does_not_take_is_sent_again(shop: Shop, ask: Ask) -> None:
    """An engine that has ended takes nothing."""
    with shop.engine() as engine:
        configured.use(engine)
        engine.stop(time.monotonic() + DEADLINE_S)
        status, said = ask("alertmanager", body=webhook(alert(BUSY)), at="/alerts")
        configured.use(None)

    assert (status, said["results"][0]["result"]) == (503, "dropped")


@pytest.mark.parametrize("name", ["ann", "board", "nobody"])
def test_only_alerts_tokens_report_alerts(engine: Engine, ask: Ask, name: str) -> None:
    """A token of one door opens no other one."""
    assert ask(name, body=webhook(alert(BUSY)), at="/alerts")[0] in (401, 403)
