"""`python -m otel_metrics` is `otel-metrics`."""

from otel_metrics.cli.main import main

main()
