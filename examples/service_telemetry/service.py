"""A service that samples a queue in a database while workers work it off.

Needs `pip install otel-metrics[sql]`. Run it in the folder that holds examples/, on tasks that
worker.py has made, with a worker beside it (`work` in another shell). `often.yaml` samples each
second instead of each half minute, and says what is good here. It serves for 3 seconds; give a
number of seconds behind the URL to watch it at `curl localhost:9464/metrics`:

    python examples/service_telemetry/worker.py prepare sqlite:///tasks.db
    python examples/service_telemetry/worker.py create sqlite:///tasks.db --tasks 30
    python examples/service_telemetry/service.py sqlite:///tasks.db
    otel-metrics archive cat --event service.sample
"""

import sys
import time
from pathlib import Path

import otel_metrics
from otel_metrics import service

SERVES_S = 3.0

if len(sys.argv) < 2:
    sys.exit(f"usage: python {sys.argv[0]} URL [SECONDS], such as sqlite:///tasks.db 60")
telemetry = otel_metrics.configure(
    service_name="task-service",
    catalog=Path(__file__).with_name("often.yaml"),
    service_sql_url=sys.argv[1],
)
# What no query and no metric of the host knows comes from a function.
service.register("infra.pod_ready_ratio", lambda: {"checkout": 100.0})

time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else SERVES_S)
telemetry.shutdown()
print("in ./telemetry")
