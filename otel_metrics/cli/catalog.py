"""`otel-metrics catalog`: list what is measured, check a file, render pages, rules, dashboards."""

import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from otel_exporter_prometheus import naming
from otel_metrics.catalog.loader import InvalidCatalogError, builtin, load
from otel_metrics.catalog.model import Catalog, Metric
from otel_metrics.cli import formats
from otel_metrics.render import docs
from otel_metrics.render.grafana import dashboard_files
from otel_metrics.render.prometheus import RUNBOOK, rule_files

__all__ = ["catalog"]

_FILE = click.Path(dir_okay=False)


@click.group()
def catalog() -> None:
    """What is measured: list it, check a file of your own, render what derives from it."""


@catalog.command("list")
@formats.option
@click.option(
    "--catalog",
    "file",
    type=_FILE,
    envvar="OTEL_PYTHON_METRICS_CATALOG",
    help="Also list what this file adds. Default: OTEL_PYTHON_METRICS_CATALOG.",
)
@click.pass_context
def list_(context: click.Context, form: str, file: str | None) -> None:
    """List every metric with its exact name in Prometheus."""
    known = _load(context, file)
    rows = [_row(metric) for metric in known.metrics.values()]
    columns = ("name", "instrument", "unit", "prometheus")
    click.echo(formats.formatted(rows, form, columns=columns))


@catalog.command()
@click.argument("file", type=_FILE)
@click.pass_context
def check(context: click.Context, file: str) -> None:
    """Check a catalog file of your own: each problem with its line, its key and a remedy.

    Exit status 1 when there is a problem.
    """
    before = builtin()
    after = _load(context, file)
    added = [name for name in after.metrics if name not in before.metrics]
    extended = [name for name in before.metrics if after.metrics[name] != before.metrics[name]]
    for name in added:
        click.echo(f"{name} is {after.metrics[name].prometheus} in Prometheus")
    for name in extended:
        for line in _refinements(before.metrics[name], after.metrics[name]):
            click.echo(line)
    for name in [name for name in after.playbooks if name not in before.playbooks]:
        playbook = after.playbooks[name]
        click.echo(f"{name} is a playbook of {playbook.risk} risk, tier {playbook.tier}")
    click.echo(f"{file}: no problems")


@catalog.group()
def render() -> None:
    """Write documents that are derived from the catalog."""


@render.command("docs")
@click.option("--check", "only_check", is_flag=True, help="Write nothing; say what has drifted.")
@click.option(
    "--out",
    type=click.Path(file_okay=False),
    default="docs/reference",
    show_default=True,
    help="The folder of the pages.",
)
@click.pass_context
def docs_(context: click.Context, only_check: bool, out: str) -> None:  # noqa: FBT001  # click's flag
    """Render the reference pages: metrics, events, playbooks, environment variables and commands.

    Exit status 1 when --check finds a page that has drifted.
    """
    # Names every exporter's settings, and so loads every exporter: for this command only.
    from otel_metrics.autoconfig.environment import VARIABLES

    pages = docs.reference(builtin(), VARIABLES, context.find_root().command)
    _write_or_check(context, out, pages, only_check=only_check)


def _stack_options(command: Callable[..., None], *, out: str) -> Callable[..., None]:
    """Add what the files of the stack around the collector are rendered with."""
    for option in (
        click.option(
            "--runbook",
            default=RUNBOOK,
            show_default=True,
            help="What alerts link to: the URL of the page of alerts, where it is on a site.",
        ),
        click.option(
            "--catalog",
            "file",
            type=_FILE,
            envvar="OTEL_PYTHON_METRICS_CATALOG",
            help="Also know what this file adds. Default: OTEL_PYTHON_METRICS_CATALOG.",
        ),
        click.option(
            "--out",
            type=click.Path(file_okay=False),
            default=out,
            show_default=True,
            help="The folder of the files.",
        ),
        click.option(
            "--check", "only_check", is_flag=True, help="Write nothing; say what has drifted."
        ),
        click.pass_context,
    ):
        command = option(command)
    return command


@render.command("prometheus")
@partial(_stack_options, out="collector-config/prometheus")
def prometheus_(
    context: click.Context,
    only_check: bool,  # noqa: FBT001  # click's flag
    out: str,
    file: str | None,
    runbook: str,
) -> None:
    """Render the rules of Prometheus: recording rules and alerts.

    With a catalog file of your own, sums also go over the attributes that it adds.
    Exit status 1 when --check finds a file that has drifted.
    """
    known = _load(context, file)
    files = rule_files(known, runbook=runbook)
    _write_or_check(context, out, files, only_check=only_check)


@render.command("grafana")
@partial(_stack_options, out="collector-config/grafana")
def grafana_(
    context: click.Context,
    only_check: bool,  # noqa: FBT001  # click's flag
    out: str,
    file: str | None,
    runbook: str,
) -> None:
    """Render the dashboards of Grafana.

    Exit status 1 when --check finds a file that has drifted.
    """
    known = _load(context, file)
    _write_or_check(context, out, dashboard_files(known, runbook=runbook), only_check=only_check)


def _write_or_check(
    context: click.Context, out: str, files: Mapping[str, str], *, only_check: bool
) -> None:
    """Write what has drifted, or name it and exit 1."""
    drifted = [name for name, text in files.items() if _read(os.path.join(out, name)) != text]
    if not only_check:
        _write(out, {name: files[name] for name in drifted})
        click.echo(f"{out}: {len(drifted)} of {len(files)} files written")
        return
    for name in drifted:
        path = os.path.join(out, name)
        click.echo(f"{path} has drifted; run {_remedy(context)}")
    context.exit(1 if drifted else 0)


def _remedy(context: click.Context) -> str:
    """Return the command that writes what --check looked at: with its options, wherever given."""
    words = context.command_path.split()
    for option in context.command.params:
        name = option.name
        if name is None or name == "only_check":
            continue
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            words += (option.opts[0], str(context.params[name]))
    return shlex.join(words)


def _load(context: click.Context, file: str | None) -> Catalog:
    """Load a user's file, if there is one, over the built-in catalog; print what is wrong with it
    and exit 1."""
    if not file:
        return builtin()
    name_of, problem_of = naming.metric_name, naming.problem
    try:
        return load(file, into=builtin(), name_of=name_of, problem_of=problem_of)
    except InvalidCatalogError as error:
        for problem in error.problems:
            click.echo(str(problem))
        context.exit(1)


def _refinements(before: Metric, after: Metric) -> Iterator[str]:
    """Say what a file says anew of a metric that is built in."""
    keys = after.attributes[len(before.attributes) :]
    if keys:
        yield f"{after.name} also takes {', '.join(keys)}"
    for what in ("source", "bands", "playbooks"):
        if getattr(after, what) != getattr(before, what):
            yield f"{after.name} has {what} of the file's own"


def _row(metric: Metric) -> Mapping[str, Any]:
    return {
        "name": metric.name,
        "instrument": metric.instrument,
        "unit": metric.unit,
        "prometheus": metric.prometheus,
        "attributes": list(metric.attributes),
        "domain": metric.domain,
        "brief": metric.brief,
    }


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(folder: str, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="") as file:
            file.write(text)
