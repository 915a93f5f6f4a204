"""`otel-metrics playbooks run`: run a playbook, as far as policy, approval and limits let it."""

from typing import Any, Final

import click

from otel_metrics.cli import formats
from otel_metrics.cli.playbooks.asking import asking_options, request_of
from otel_metrics.cli.playbooks.opening import Files, files_options, opened
from otel_metrics.cli.playbooks.options import (
    EXIT_NO,
    EXIT_PARTLY,
    EXIT_WRONG,
    actor_option,
    catalog_in_force,
    configured,
    end,
    ledger_file,
    playbooks_option,
    reason_option,
    say,
)
from otel_metrics.remediation.audit import text_of

__all__ = ["run"]

_COLUMNS: Final = ("playbook", "target", "result", "run", "approval", "detail")
_INTERRUPTED: Final = (
    "interrupted: what was begun is ended, and its result is unknown; otel-metrics playbooks "
    "history lists it"
)


@click.command()
@asking_options
@actor_option
@reason_option
@click.option("--dry-run", is_flag=True, help="Only note what would be done.")
@playbooks_option
@files_options
@formats.option
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    actor: str,
    reason: str,
    dry_run: bool,
    file: str | None,
    db: str | None,
    path: str,
    service: str | None,
    key_file: str | None,
    form: str,
    **asked: Any,
) -> None:
    """Run PLAYBOOK on a target and wait for its end.

    It goes the way of a recommendation: kill switch, policy, approval, limits, audit. Whether the
    metric returns to its band afterwards is found out by the service that measures it.

    Exit status 1 when it was refused, held back by a limit, or failed; 2 when the file of playbooks
    does not hold; 3 when it waits for an approval, or only a dry run was made because it is not
    enabled or there is no key for the audit.
    """
    catalog = catalog_in_force(context)
    request = request_of(context, catalog, actor=actor, reason=reason, **asked)
    configuration = configured(context, file, db, catalog)
    if configuration is None:
        end(context, "--playbooks: is not given, so nothing is bound to it", EXIT_WRONG)
    files = Files(
        db=ledger_file(context, db, make=True), path=path, service=service, key_file=key_file
    )
    with opened(
        context, files, configuration=configuration, catalog=catalog, targets=(request.target,)
    ) as engine:
        try:
            outcome = engine.handle(request, dry_run=dry_run)
        except KeyboardInterrupt:
            say(_INTERRUPTED)
            raise
    row = {
        "playbook": request.playbook,
        "target": text_of(request.target),
        "result": outcome.result,
        "run": outcome.run_id,
        "approval": outcome.approval_id,
        "detail": outcome.detail,
    }
    click.echo(formats.printable(formats.formatted([row], form, columns=_COLUMNS)))
    if outcome.result == "dry_run" and not dry_run:
        say(f"nothing was done: it {outcome.detail}")
    is_done = outcome.result == "succeeded" or (outcome.result == "dry_run" and dry_run)
    in_part = outcome.result in ("waiting", "dry_run")
    context.exit(0 if is_done else EXIT_PARTLY if in_part else EXIT_NO)
