"""A FastAPI service that shows its metrics under its own port, and opens no other.

Needs `pip install otel-metrics fastapi uvicorn`. Start it in the folder that holds examples/;
in another shell, ask it something, and look at its metrics and at telemetry's health:

    uvicorn examples.metrics_routes:app
    curl 'localhost:8000/triage?message=where+is+my+parcel'
    curl localhost:8000/metrics
    curl localhost:8000/healthz

Only this machine gets an answer from the last two; docs/page.md says how to let others in.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import otel_metrics
from otel_metrics import skills
from otel_metrics.web import routes


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start telemetry in the process that serves, without a port of its own."""
    del app
    telemetry = otel_metrics.configure(service_name="metrics-routes", metrics_exporter="ndjson")
    yield
    telemetry.shutdown()


app = FastAPI(lifespan=lifespan)
app.router.routes.extend(routes())


@app.get("/triage")
@skills.execution("triage", agent="support")
async def triage(message: str) -> dict[str, str]:
    """Answer with the queue that a message belongs to."""
    return {"queue": "shipping" if "parcel" in message else "refund"}
