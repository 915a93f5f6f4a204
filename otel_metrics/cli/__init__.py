"""The commands of `otel-metrics`, one file each."""
