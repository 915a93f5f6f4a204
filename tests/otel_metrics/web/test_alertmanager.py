"""Alerts as requests: what a firing alert asks for, and what asks for nothing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from otel_metrics.catalog.loader import builtin
from otel_metrics.catalog.model import Band, Bands, Catalog, Metric, Playbooks, Source
from otel_metrics.remediation.model import Request
from otel_metrics.service.samples import Resource
from otel_metrics.web.alertmanager import Alert, Unusable, request_of

STARTED = "2026-11-28T14:30:00.123456789Z"
STARTED_US = 1_795_876_200_123_456
FINGERPRINT = "8a3d2c5e6f708192"


def metric(name: str, scope: str, *playbooks: str) -> Metric:
    return Metric(
        name=name,
        instrument="gauge",
        unit="%",
        brief="",
        prometheus=name.replace(".", "_"),
        value_type="double",
        domain="service",
        bands=Bands(good=Band(upper=70), critical=Band(lower=85)),
        playbooks=Playbooks(warning=playbooks[0], critical=playbooks[-1]),
        source=Source(type="callable", interval_s=30, scope=scope),
    )


CATALOG = Catalog(
    metrics={
        "infra.cpu": metric("infra.cpu", "host", "shift-load", "scale-nodes"),
        "queue.depth": metric("queue.depth", "queue", "scale-workers", "tell-all"),
        "api.errors": metric("api.errors", "service", "tell-all"),
    },
    attributes={},
    events={},
    playbooks={
        name: replace(builtin().playbooks["shift-load"], id=name)
        for name in ("shift-load", "scale-nodes", "scale-workers", "tell-all")
    },
)


def alert(labels: dict[str, str], **more: Any) -> Alert:
    given: dict[str, Any] = {"starts_at": STARTED, "fingerprint": FINGERPRINT, **more}
    return Alert(status="firing", labels=labels, **given)


def asked(labels: dict[str, str], **more: Any) -> Request | Unusable:
    return request_of(alert(labels, **more), actor="alertmanager", catalog=CATALOG)


def test_an_alert_asks_for_its_playbook() -> None:
    """In the name of the token, once for each time that it begins to fire."""
    found = asked(
        {
            "alertname": "Busy",
            "playbook": "shift-load",
            "resource": "web-1",
            "metric": "infra.cpu",
            "severity": "critical",
        },
        annotations={"summary": "web-1 has no CPU left"},
    )

    assert found == Request(
        playbook="shift-load",
        parameters={},
        target=Resource("host", "web-1"),
        actor="alertmanager",
        reason="Busy: web-1 has no CPU left",
        key=f"alert:{FINGERPRINT}:{STARTED_US}",
        metric="infra.cpu",
        band="critical",
    )


@pytest.mark.parametrize(
    ("labels", "target"),
    [
        ({"playbook": "shift-load", "instance": "web-1:9100"}, Resource("host", "web-1:9100")),
        ({"playbook": "shift-load", "service_resource_id": "w"}, Resource("host", "w")),
        ({"playbook": "scale-workers", "resource": "q", "instance": "i"}, Resource("queue", "q")),
        (
            {"playbook": "scale-workers", "resource": "q", "resource_scope": "worker_pool"},
            Resource("worker_pool", "q"),
        ),
        (
            {"playbook": "tell-all", "resource": "q", "metric": "queue.depth"},
            Resource("queue", "q"),
        ),
    ],
)
def test_labels_name_the_resource(labels: dict[str, str], target: Resource) -> None:
    """Its kind follows from what the playbook is for, where no label says it."""
    found = asked(labels)

    assert isinstance(found, Request)
    assert found.target == target


@pytest.mark.parametrize(
    ("labels", "more", "detail"),
    [
        ({"resource": "w"}, {}, "it has no label playbook, which names what to do"),
        (
            {"playbook": "shift-load"},
            {},
            (
                "it has no label resource, service_resource_id or instance, which names what to do "
                "it to"
            ),
        ),
        (
            {"playbook": "tell-all", "resource": "w"},
            {},
            "it has no label resource_scope, and nothing else says what kind of resource it is",
        ),
        (
            {"playbook": "shift-laod", "resource": "w"},
            {},
            "playbook=shift-laod: is no playbook of the catalog; did you mean 'shift-load'?",
        ),
        (
            {"playbook": "shift-load", "resource": "w", "metric": "infra.cqu"},
            {},
            "its label metric names no metric of the catalog",
        ),
        (
            {"playbook": "shift-load", "resource": "w"},
            {"starts_at": "yesterday"},
            "its startsAt is no time",
        ),
        (
            {"playbook": "shift-load", "resource": "w" * 257},
            {},
            "a label is longer than 256 characters",
        ),
    ],
)
def test_an_alert_that_says_too_little_asks_for_nothing(
    labels: dict[str, str], more: dict[str, str], detail: str
) -> None:
    """And says what it lacks."""
    assert asked(labels, **more) == Unusable(detail=detail)


def test_one_moment_is_one_key_however_it_is_written() -> None:
    """Two Alertmanagers of a cluster that send the same alert cause one run."""
    labels = {"playbook": "shift-load", "resource": "w"}
    found = {
        each.key
        for text in ("2026-11-28T14:30:00Z", "2026-11-28T15:30:00+01:00", "2026-11-28T14:30:00.0Z")
        if isinstance(each := asked(labels, starts_at=text), Request)
    }

    assert found == {f"alert:{FINGERPRINT}:{STARTED_US // 1_000_000 * 1_000_000}"}


def test_the_built_in_playbooks_know_their_resources() -> None:
    """An alert needs no label for the kind where every metric that names the playbook agrees."""
    catalog = builtin()
    for playbook in catalog.playbooks:
        found = request_of(
            alert({"playbook": playbook, "resource": "w"}), actor="a", catalog=catalog
        )
        assert isinstance(found, Request), playbook


@given(
    st.dictionaries(
        st.sampled_from(
            ["playbook", "resource", "instance", "resource_scope", "metric", "severity"]
        )
        | st.text(),
        st.text(),
        max_size=6,
    ),
    st.text(),
)
def test_labels_choose_and_form_nothing(labels: dict[str, str], started: str) -> None:
    """Whatever they hold, they become no parameter, and are otherwise as they came."""
    found = asked(labels, starts_at=started)

    if isinstance(found, Request):
        assert (found.parameters, found.playbook) == ({}, labels["playbook"])
