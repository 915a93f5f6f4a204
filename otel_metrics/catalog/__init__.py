"""What is measured: every metric, attribute and event, and every playbook, declared once in YAML.

Code, documentation, rules, dashboards and tests derive from it.
"""

from otel_metrics.catalog.loader import InvalidCatalogError, builtin, load
from otel_metrics.catalog.model import Attribute, Catalog, Event, Metric, Playbook

__all__ = [
    "Attribute",
    "Catalog",
    "Event",
    "InvalidCatalogError",
    "Metric",
    "Playbook",
    "builtin",
    "load",
]
