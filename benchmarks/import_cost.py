"""What does `import otel_metrics` cost over `import opentelemetry.sdk.metrics`?

Whole processes, in turn, so that a machine that slows down slows both. Prints the median of each
and their difference, and which optional or heavy modules were loaded.

Reproduce: .venv/bin/python benchmarks/import_cost.py
"""

import statistics
import subprocess
import sys
import time

RUNS = 21
BAR_MS = 60
HEAVY = (
    "click",
    "rich",
    "grpc",
    "genai_prices",
    "duckdb",
    "matplotlib",
    "bcrypt",
    "nats",
    "sqlalchemy",
    "psycopg",
    "starlette",
    "uvicorn",
    "websockets",
    "yaml",
)


def run(code: str) -> float:
    """Return the wall time of a fresh interpreter that runs `code`, in milliseconds."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - begun) * 1000


def main() -> None:
    """Race the two imports."""
    codes = ("import opentelemetry.sdk.metrics", "import otel_metrics")
    for code in codes:
        run(code)  # writes the byte code
    pairs = [[run(code) for code in codes] for _ in range(RUNS)]
    base, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    added = statistics.median(pair[1] - pair[0] for pair in pairs)
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import otel_metrics, sys; print([m for m in {HEAVY!r} if m in sys.modules])",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    print(f"import opentelemetry.sdk.metrics  {base:7.1f} ms")
    print(f"import otel_metrics               {ours:7.1f} ms")
    print(f"added (median of {RUNS} pairs)       {added:7.1f} ms   bar: at most {BAR_MS} ms")
    print(f"optional or heavy modules loaded: {loaded}")
    sys.exit(0 if added <= BAR_MS and loaded == "[]" else "the bar is missed")


if __name__ == "__main__":
    main()
