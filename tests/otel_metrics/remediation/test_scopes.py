"""What a playbook is for, and what it is done to."""

import pytest

from otel_metrics.catalog.loader import builtin
from otel_metrics.remediation.scopes import metric_of, metrics_of, scope_of


@pytest.mark.parametrize(
    ("playbook", "metric", "scope"),
    [
        ("shift-load", "infra.cpu_utilization", "host"),
        ("scale-workers", "executor.queue_depth", "queue"),
        ("scale-api-shard", "api.latency_p95", "service"),
        ("no-such-playbook", None, None),
    ],
)
def test_the_metrics_that_recommend_a_playbook_say_it(
    playbook: str, metric: str | None, scope: str | None
) -> None:
    """Where they agree."""
    catalog = builtin()

    assert (metric_of(playbook, catalog), scope_of(playbook, catalog)) == (metric, scope)


def test_a_named_metric_says_it_alone() -> None:
    """Whatever others recommend the playbook."""
    catalog = builtin()

    assert scope_of("shift-load", catalog, metric="executor.queue_depth") == "queue"
    assert scope_of("shift-load", catalog, metric="skill.executions") is None


def test_every_playbook_of_the_catalog_is_recommended() -> None:
    """Nobody has to say what kind of resource it is done to."""
    catalog = builtin()

    assert [name for name in catalog.playbooks if not metrics_of(name, catalog)] == []
    assert [name for name in catalog.playbooks if scope_of(name, catalog) is None] == []
