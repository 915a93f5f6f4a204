"""Service telemetry: where values come from, the bands that they lie in, windows of them."""
