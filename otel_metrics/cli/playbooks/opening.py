"""The engine for one command: the files of the service, read and closed again.

A command decides and runs as the service does, on its own thread: the same policy, approvals and
limits, in the same ledger, with the same audit.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import click

from otel_exporter_ndjson.settings import from_environ
from otel_metrics import events
from otel_metrics.archive.adding import adding
from otel_metrics.archive.remediation_audit import RemediationAudit
from otel_metrics.catalog.model import Catalog
from otel_metrics.cli.archive.options import seal_key
from otel_metrics.cli.skills.deciding import prepare
from otel_metrics.remediation.engine import Engine
from otel_metrics.remediation.model import Configuration
from otel_metrics.service.samples import Resource

__all__ = ["Files", "opened"]
