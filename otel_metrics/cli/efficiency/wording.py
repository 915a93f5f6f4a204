"""A backtest in words, tables and as data."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import click

from otel_exporter_ndjson.values import time_text
from otel_metrics.cli import formats
from otel_metrics.cli.archive.tables import print_table
from otel_metrics.efficiency.backtest import Backtest, Figure, Outcome
from otel_metrics.efficiency.correlation import Correlation
from otel_metrics.plurals import counted

__all__ = ["correlation", "print_backtest"]

SHOWN_MAX: Final = 200
"""Plans that people are shown, the newest; every other form has all of them."""
_COLUMNS: Final = (
    "time",
    "plan",
    "priority",
    "before",
    "after",
    "change",
    "minutes",
    "cost",
    "note",
)
_RIGHT: Final = frozenset(_COLUMNS) - {"time", "plan", "note"}


def print_backtest(made: Backtest, form: str, *, window_s: float) -> None:
    """Print what came out, in one of `formats.FORMATS`: CSV has the plans, the others also the
    figures."""
    rows = [_row(outcome) for outcome in made.outcomes]
    if form == "table":
        _print_table(made, rows)
        return
    figures = [{"figure": name, "value": text} for name, text in _figures(made)]
    data = {**_data(made), "window_s": window_s, "outcomes": rows}
    match form:
        case "json":
            text = json.dumps(data, ensure_ascii=False, indent=2)
        case "yaml":
            text = formats.formatted([data], form, columns=())
        case "markdown":
            tables = (formats.formatted(each, form, columns=()) for each in (figures, rows))
            text = "\n\n".join(tables)
        case _:
            text = formats.formatted(rows, form, columns=())
    click.echo(formats.printable(text))


def correlation(found: Correlation) -> str:
    """Return a correlation with its interval, or why there is none."""
    if found.value is None:
        return f"none: {found.reason}"
    return f"{found.value:.3f} (95 %: {found.low:.3f} to {found.high:.3f})"


def _figures(made: Backtest) -> Iterator[tuple[str, str]]:
    """Yield each figure with its value in words."""
    yield "plans", f"{len(made.outcomes)}, {len(made.pairs)} with the efficiency before and after"
    yield "Pearson", correlation(made.pearson)
    yield "Spearman", correlation(made.spearman)
    if made.shared:
        yield "caution", _caution(made)
    yield "change per minute", _figure(made.change_per_minute)
    patches = "patch" if made.patches == 1 else "patches"
    counts = f" ({made.rollbacks:g} of {made.patches:g} {patches})"
    yield "rollback ratio", _figure(made.rollback_ratio, counts)
    yield "cost per fix", _figure(made.cost_per_fix, " USD")


def _caution(made: Backtest) -> str:
    return (
        f"{made.shared} of {len(made.pairs)} plans share their change with another, which was made "
        "between the same two exports: they are not independent, and the intervals are too narrow; "
        "a shorter OTEL_METRIC_EXPORT_INTERVAL parts them"
    )


def _figure(figure: Figure, after: str = "") -> str:
    return f"none: {figure.reason}" if figure.value is None else f"{figure.value:.4g}{after}"


def _data(made: Backtest) -> dict[str, Any]:
    return {
        "plans": len(made.outcomes),
        "pairs": len(made.pairs),
        "pairs_that_share_a_change": made.shared,
        "pearson": asdict(made.pearson),
        "spearman": asdict(made.spearman),
        "line": None if made.line is None else asdict(made.line),
        "change_per_minute": asdict(made.change_per_minute),
        "patches_applied": made.patches,
        "rollbacks": made.rollbacks,
        "rollback_ratio": asdict(made.rollback_ratio),
        "cost_per_fix_usd": asdict(made.cost_per_fix),
    }


def _row(outcome: Outcome) -> dict[str, Any]:
    plan = outcome.plan
    return {
        "time": time_text(plan.time_ns),
        "service": plan.source.service,
        "instance": plan.source.instance,
        "plan_id": plan.plan_id,
        "priority": plan.priority,
        "before": outcome.before,
        "after": outcome.after,
        "change": outcome.change,
        "minutes": outcome.minutes,
        "shares_its_change": outcome.is_shared,
        "cost_usd": plan.cost_usd,
        "reason": outcome.reason,
    }


def _print_table(made: Backtest, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the plans, and below them the figures, which is where people look."""
    if len(rows) > SHOWN_MAX:
        before = counted(len(rows) - SHOWN_MAX, "plan")
        click.echo(f"{before} before these; --format json has all of them")
    print_table([_short(row) for row in rows[-SHOWN_MAX:]], _COLUMNS, right=_RIGHT)
    click.echo()
    for name, text in _figures(made):
        click.echo(formats.printable(f"{name}: {text}"))


def _short(row: Mapping[str, Any]) -> Mapping[str, str]:
    """Return a row for people: times to the second, and figures that can be told apart."""
    numbers = {"priority": "priority", "before": "before", "after": "after", "change": "change"}
    figures = {**numbers, "minutes": "minutes", "cost": "cost_usd"}
    return {
        "time": str(row["time"])[:19].replace("T", " "),
        "plan": str(row["plan_id"]),
        **{key: "" if row[name] is None else f"{row[name]:.4g}" for key, name in figures.items()},
        "note": str(row["reason"] or ("shares its change" if row["shares_its_change"] else "")),
    }
