"""Failures to authenticate, counted on the page of the running telemetry."""

from otel_metrics.autoconfig import startup

__all__ = ["count_failure"]


def count_failure(kind: str) -> None:
    """Count a failure on the page that says how often which kind there was."""
    telemetry = startup.current()
    page = None if telemetry is None else telemetry.page()
    if page is not None:
        page.errors.add(kind)
