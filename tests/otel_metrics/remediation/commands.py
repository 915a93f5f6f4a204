"""Commands about playbooks and approvals, with the variables of a service."""

import json
from typing import Any

from click.testing import CliRunner, Result

from otel_metrics.cli.main import root
from tests.otel_metrics.remediation.shop import Shop

__all__ = ["rows", "run", "variables"]


def variables(shop: Shop) -> dict[str, str]:
    """Return the variables that a service of these files has."""
    return {
        "OTEL_PYTHON_METRICS_PLAYBOOKS": str(shop.playbooks),
        "OTEL_PYTHON_METRICS_REMEDIATION_DB": str(shop.db),
        "OTEL_EXPORTER_NDJSON_PATH": str(shop.archive),
        "OTEL_EXPORTER_NDJSON_SEAL_KEY_FILE": str(shop.key),
        "OTEL_SERVICE_NAME": "shop",
    }


def run(shop: Shop, *arguments: str, **changes: str | None) -> Result:
    """Run a command; a variable that is None is unset."""
    env: dict[str, str | None] = {**variables(shop), **changes}
    return CliRunner().invoke(root, arguments, env=env, prog_name="otel-metrics")


def rows(shop: Shop, *arguments: str, **changes: str | None) -> list[dict[str, Any]]:
    """Run a command, and return what it prints as JSON."""
    found = json.loads(run(shop, *arguments, "--format", "json", **changes).stdout)
    assert isinstance(found, list)
    return found
