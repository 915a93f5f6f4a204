"""Telemetry's pages in a web service of one's own."""

from otel_metrics.web.routes import routes

__all__ = ["routes"]
