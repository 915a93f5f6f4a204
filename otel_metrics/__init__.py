"""Metrics of AI-agent systems on OpenTelemetry: recorded once, archived, scraped and shipped.

import otel_metrics
otel_metrics.configure(service_name="shop")
"""

from otel_metrics import (
    budgets,
    efficiency,
    executions,
    host,
    instruments,
    remediation,
    service,
    skills,
    sovereignty,
    tokens,
)
from otel_metrics.autoconfig.startup import Telemetry, configure
from otel_metrics.version import __version__

__all__ = [
    "Telemetry",
    "__version__",
    "budgets",
    "configure",
    "efficiency",
    "executions",
    "host",
    "instruments",
    "remediation",
    "service",
    "skills",
    "sovereignty",
    "tokens",
]
