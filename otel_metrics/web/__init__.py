"""Telemetry's pages in a web service of one's own."""

from otel_metrics.web.alerts import alert_routes
from otel_metrics.web.governance import governance_routes
from otel_metrics.web.routes import routes

__all__ = ["alert_routes", "governance_routes", "routes"]
