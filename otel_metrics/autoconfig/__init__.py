"""From the environment to a running pipeline."""
