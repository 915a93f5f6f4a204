"""What the tests of pages share with those of sockets."""

from tests.otel_metrics.web.conftest import connect

__all__ = ["connect"]
