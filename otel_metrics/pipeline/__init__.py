"""Between the SDK and the exporters: one collection, a lane for each, verdicts, exit and fork."""
