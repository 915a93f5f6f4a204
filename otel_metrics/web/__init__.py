"""Telemetry's pages in a web service of one's own."""

from otel_metrics.web.alerts import alert_routes
from otel_metrics.web.governance import governance_routes
from otel_metrics.web.routes import routes
from otel_metrics.web.service import service_routes

__all__ = ["alert_routes", "governance_routes", "routes", "service_routes"]
