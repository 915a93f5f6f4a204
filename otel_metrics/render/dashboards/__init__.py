"""The dashboards, a module each: what it shows, in words and queries."""
