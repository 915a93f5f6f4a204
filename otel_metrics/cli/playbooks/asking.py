"""What somebody asks of a playbook, from the options of `plan` and `run`."""

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from otel_metrics.catalog.model import Catalog
from otel_metrics.cli.matching import suggestion
from otel_metrics.cli.playbooks.options import EXIT_WRONG, end
from otel_metrics.remediation.model import Request, Value
from otel_metrics.remediation.parameters import from_text
from otel_metrics.remediation.scopes import metric_of, scope_of
from otel_metrics.service.samples import Resource

__all__ = ["asking_options", "request_of"]

_Command = TypeVar("_Command", bound=Callable[..., object])


def _pairs(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> Any:
    for text in given:
        if not text.partition("=")[0] or "=" not in text:
            raise click.BadParameter(f"{text!r} is no NAME=VALUE")
    names = [text.partition("=")[0] for text in given]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise click.BadParameter(f"{twice!r} is given twice; leave one out")
    return {text.partition("=")[0]: text.partition("=")[2] for text in given}


def asking_options(command: _Command) -> _Command:
    """Add what says what a playbook is to be done to, and how."""
    for option in (
        click.option(
            "--metric",
            help="The metric that is to be back in its band; the policy may go by it. Default: the "
            "one that recommends the playbook.",
        ),
        click.option(
            "--parameter",
            "parameters",
            multiple=True,
            metavar="NAME=VALUE",
            callback=_pairs,
            help="A parameter, in place of what the file says.",
        ),
        click.option(
            "--scope",
            help="What the target is: host, queue, service, … Default: what the metrics that "
            "recommend the playbook measure.",
        ),
        click.option("--target", required=True, help="The id of the resource to do it to."),
        click.argument("playbook"),
    ):
        command = option(command)
    return command


def request_of(
    context: click.Context,
    catalog: Catalog,
    *,
    playbook: str,
    target: str,
    scope: str | None,
    parameters: Mapping[str, str],
    metric: str | None,
    actor: str,
    reason: str,
) -> Request:
    """Return the request; end where a name is none of the catalog."""
    if playbook not in catalog.playbooks:
        meant = suggestion(playbook, list(catalog.playbooks))
        end(context, f"PLAYBOOK={playbook}: is no playbook of the catalog{meant}", EXIT_WRONG)
    if metric is not None and metric not in catalog.metrics:
        meant = suggestion(metric, list(catalog.metrics))
        end(context, f"--metric={metric}: is no metric of the catalog{meant}", EXIT_WRONG)
    found = scope or scope_of(playbook, catalog, metric=metric)
    if found is None:
        message = "--scope: is not given, and nothing else says what the target is; give it"
        end(context, message, EXIT_WRONG)
    return Request(
        playbook=playbook,
        parameters=_typed(catalog, playbook, parameters),
        target=Resource(found, target),
        actor=actor,
        reason=reason,
        key=f"command:{secrets.token_hex(16)}",
        metric=metric or metric_of(playbook, catalog),
    )


def _typed(catalog: Catalog, playbook: str, given: Mapping[str, str]) -> Mapping[str, Value]:
    known = {each.name: each for each in catalog.playbooks[playbook].parameters}
    return {
        name: from_text(known[name], text) if name in known else text
        for name, text in given.items()
    }
