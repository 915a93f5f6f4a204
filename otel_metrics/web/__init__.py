"""Telemetry's pages in a web service of one's own."""

from otel_metrics.web.routes import routes
from otel_metrics.web.service import service_routes

__all__ = ["routes", "service_routes"]
