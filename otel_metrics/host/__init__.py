"""How machine, container and process are doing. It starts by itself."""

from otel_metrics.host.recorder import start

__all__ = ["start"]
