"""`otel-metrics playbooks plan`: what would be done, and what would come of asking for it."""

import tempfile
from typing import Any, Final

import click

from otel_metrics.catalog.model import Catalog
from otel_metrics.cli import formats
from otel_metrics.cli.playbooks.asking import asking_options, request_of
from otel_metrics.cli.playbooks.opening import planning
from otel_metrics.cli.playbooks.options import (
    EXIT_NO,
    EXIT_PARTLY,
    catalog_in_force,
    configured,
    db_option,
    ledger_file,
    playbooks_option,
)
from otel_metrics.remediation.audit import text_of
from otel_metrics.remediation.engine import Plan
from otel_metrics.remediation.model import Request
from otel_metrics.remediation.views import plan_lines

__all__ = ["plan"]

_COLUMNS: Final = ("playbook", "target", "result", "detail")
