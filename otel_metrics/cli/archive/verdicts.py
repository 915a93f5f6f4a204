"""What was verified, in words, tables and as data."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from otel_metrics.archive.inspection import Inspected
from otel_metrics.archive.problems import Problem
from otel_metrics.archive.verify import Report
from otel_metrics.cli import formats
from otel_metrics.cli.archive.tables import print_table

__all__ = ["print_report", "status_of", "told", "verdicts"]

SHOWN_MAX: Final = 200
"""Findings that people are shown; `--format json` has all of them."""
_COLUMNS: Final = ("verdict", "kind", "path", "line", "start", "end", "message")
_MiB: Final = 2**20


def status_of(report: Report) -> int:
    """Return the exit status: 1 for damage or a hole, else 3 where something is unfinished."""
    if not report.intact or report.of("completeness"):
        return 1
    return 3 if report.unfinished else 0


def print_report(report: Report, path: str, form: str) -> None:
    """Print what was found on the output stream."""
    rows = [_row(problem, path) for problem in report.problems]
    if form == "table":
        _print_tables(report, rows)
    elif form == "json":
        data = json.dumps(_data(report, rows, path), ensure_ascii=False, indent=2)
        click.echo(formats.printable(data))
    else:
        click.echo(formats.printable(formats.formatted(rows, form, columns=_COLUMNS)))


def verdicts(report: Report) -> Iterator[str]:
    """Return the lines that say what is so."""
    yield f"integrity: {_verdict(report.of('integrity'))} ({_signatures(report)})"
    missing = report.of("completeness")
    unsettled = report.unfinished and not missing
    yield f"completeness: {'cannot be told yet' if unsettled else _verdict(missing)}"
    if not report.checkpoint:
        yield "completeness: no checkpoint given, removal of the newest segments cannot show"
    if report.unfinished:
        repairs = [each for each in report.of("unfinished") if each.kind == "repair"]
        remedy = "; otel-metrics archive repair does it" if repairs else ""
        yield f"unfinished: {_count(report.of('unfinished'))}{remedy}"
    if report.keys and report.recovered:
        were, them = ("was", "it") if report.recovered == 1 else ("were", "them")
        yield (
            f"signatures: {_segments(report.recovered)} {were} sealed by a recovery: what stands "
            f"in {them} was not vouched for before that"
        )
    if report.recovered or report.torn:
        torn = f"{report.torn} .torn file{'' if report.torn == 1 else 's'}"
        yield f"recovered: {_segments(report.recovered)} sealed by a recovery, {torn} set aside"


def _signatures(report: Report) -> str:
    """Return what was looked at, in words."""
    if not report.keys:
        return "no key given, signatures not checked"
    if not report.vouched:
        return "signatures checked"
    return (
        f"signatures checked: {_segments(report.signed)} signed, {_segments(report.vouched)} "
        "without a valid signature, for which only the signed checkpoint vouches"
    )


def _segments(count: int) -> str:
    return f"{count} segment{'' if count == 1 else 's'}"


def told(problems: Sequence[Problem], path: str) -> Iterator[str]:
    """Return findings as plain lines, for the error stream."""
    for problem in problems[:SHOWN_MAX]:
        shown = _shown(_row(problem, path))
        yield formats.printable(f"{shown['where']}: {shown['why']}").replace("\n", "\\n")


def _verdict(problems: Sequence[Problem]) -> str:
    return f"FAILS, {_count(problems)}" if problems else "holds"


def _count(problems: Sequence[Problem]) -> str:
    return f"{len(problems)} finding{'' if len(problems) == 1 else 's'}"


def _row(problem: Problem, path: str) -> dict[str, Any]:
    segment = problem.segment
    return {
        "verdict": problem.verdict,
        "kind": problem.kind,
        "path": os.path.relpath(problem.path, path),
        "segment": None if segment is None else segment.name,
        "line": problem.line or None,
        "start": problem.start,
        "end": problem.end,
        "message": problem.message,
    }


def _data(report: Report, rows: Sequence[Mapping[str, Any]], path: str) -> dict[str, Any]:
    return {
        "archive": report.archive,
        "integrity": "holds" if report.intact else "fails",
        "completeness": _completeness(report),
        "keys": report.keys,
        "checkpoint": report.checkpoint,
        "segments": len(report.segments),
        "signed": report.signed if report.keys else None,
        "vouched_by_checkpoint": report.vouched,
        "recovered": report.recovered,
        "recovered_segments": [
            os.path.relpath(each.segment.path, path) for each in report.segments if each.recovered
        ],
        "torn_files": report.torn,
        "records": sum(each.scan.records for each in report.segments),
        "erased": sum(each.scan.erased for each in report.segments),
        "services": list(_services(report.segments)),
        "findings": rows,
    }


def _completeness(report: Report) -> str:
    if report.of("completeness"):
        return "fails"
    return "unfinished" if report.unfinished else "holds"


def _services(found: Sequence[Inspected]) -> Iterator[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Inspected]] = {}
    for each in found:
        groups.setdefault((each.segment.signal, each.segment.service), []).append(each)
    for (signal, service), group in groups.items():
        states = [each.state for each in group]
        yield {
            "signal": signal,
            "service": service,
            "segments": len(group),
            "sealed": states.count("sealed"),
            "open": states.count("open"),
            "unsealed": states.count("unsealed"),
            "records": sum(each.scan.records for each in group),
            "bytes": sum(each.size for each in group),
        }


def _print_tables(report: Report, rows: Sequence[Mapping[str, Any]]) -> None:
    services = list(_services(report.segments))
    if services:
        columns = tuple(services[0])
        print_table(services, columns, right=columns[2:])
    lines = []
    for row in rows[:SHOWN_MAX]:
        shown = _shown(row)
        lines += [f"{shown['what']}: {shown['where']}", f"    {shown['why']}"]
    if len(rows) > SHOWN_MAX:
        lines.append(f"and {len(rows) - SHOWN_MAX} more; --format json has all of them")
    for line in ["", *lines, *([""] if lines else []), *verdicts(report)]:
        click.echo(formats.printable(line).replace("\n", "\\n"))


def _shown(row: Mapping[str, Any]) -> Mapping[str, str]:
    where = str(row["path"])
    if row["line"]:
        where += f":{row['line']}"
    if row["start"] is not None:
        where += f" bytes {row['start']:,} to {row['end']:,}"
    return {"what": f"{row['verdict']}: {row['kind']}", "where": where, "why": str(row["message"])}
