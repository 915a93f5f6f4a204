"""The page on governance: its commands, actors, routes and rule are what there is."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from otel_metrics.catalog.loader import builtin
from otel_metrics.cli.main import root
from otel_metrics.remediation.model import Request
from otel_metrics.web.actors import Actor, parse
from otel_metrics.web.alertmanager import (
    METRIC_LABEL,
    PLAYBOOK_LABEL,
    RESOURCE_LABELS,
    SCOPE_LABEL,
    Alert,
    request_of,
)
from otel_metrics.web.governance import governance_routes
from tests.docs.links import DOCS, broken
from tests.otel_metrics.remediation.shop import Shop

PAGE = (DOCS / "governance.md").read_text()


def block(language: str) -> str:
    """Return the page's code block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def commands() -> list[list[str]]:
    """Return what follows `otel-metrics` in each line of the console."""
    found = re.findall(r"^\$ otel-metrics (.*)$", block("console"), re.MULTILINE)
    return [shlex.split(line) for line in found]


@pytest.mark.parametrize("words", commands(), ids=lambda words: " ".join(words[:2]))
def test_a_command_is_one(words: list[str]) -> None:
    """With these arguments and options."""
    group = root.get_command(click.Context(root), words[0])
    assert isinstance(group, click.Group)
    command = group.get_command(click.Context(group), words[1])
    assert command is not None

    with command.make_context(words[1], words[2:]) as context:
        assert context.params


def test_the_actors_file_is_one() -> None:
    """With an actor of each role."""
    assert [*parse(block("text").encode()).values()] == [
        Actor("j.doe", "approve"),
        Actor("m.roe", "admin"),
        Actor("alertmanager", "alert"),
        Actor("board", "read"),
    ]


def test_the_program_runs() -> None:
    """As it stands; without a file of actors there is no route."""
    names: dict[str, Any] = {}
    exec(compile(block("python"), "governance.md", "exec"), names)

    assert names["app"].routes == []


def test_every_route_is_in_the_table(tmp_path: Path) -> None:
    """With its methods."""
    routes = governance_routes(actors_file=Shop(tmp_path).actors)

    assert [path for each in routes if f" {(path := each.path)}`" not in PAGE] == []  # type: ignore[attr-defined] # each is a Route


def test_every_label_is_in_the_table() -> None:
    """Those that an alert is read by."""
    labels = (PLAYBOOK_LABEL, *RESOURCE_LABELS, SCOPE_LABEL, METRIC_LABEL, "severity")

    assert [label for label in labels if f"`{label}`" not in PAGE] == []


def test_the_rule_asks_for_its_playbook() -> None:
    """Of the host that the metric is of, for the metric that it names."""
    (rule,) = yaml.safe_load(block("yaml"))
    catalog = builtin()
    labels = {"alertname": rule["alert"], **rule["labels"], "service_resource_id": "web-1"}
    alert = Alert(
        status="firing", labels=labels, starts_at="2026-01-01T00:00:00Z", fingerprint="8a3d"
    )
    found = request_of(alert, actor="alertmanager", catalog=catalog)

    assert isinstance(found, Request)
    assert (found.playbook, found.target.scope) == ("shift-load", "host")
    assert rule["expr"].split()[0] == catalog.metrics["infra.cpu_utilization"].prometheus


@pytest.mark.component("promtool")
def test_prometheus_takes_the_rule(component: Callable[[str], str], tmp_path: Path) -> None:
    """As it stands, in a group."""
    file = tmp_path / "rules.yml"
    rules = {"groups": [{"name": "playbooks", "rules": yaml.safe_load(block("yaml"))}]}
    file.write_text(yaml.safe_dump(rules))
    done = subprocess.run(
        [component("promtool"), "check", "rules", str(file)], capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


def test_its_links_lead_somewhere() -> None:
    """To a file, or to a heading."""
    assert broken(PAGE) == []
