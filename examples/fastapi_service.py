"""A FastAPI service: telemetry starts with the application and ends with it.

Needs `pip install otel-metrics fastapi uvicorn`. Start it in the folder that holds examples/; in
another shell, ask it something, and look at what was counted:

    uvicorn examples.fastapi_service:app
    curl 'localhost:8000/triage?message=where+is+my+parcel'
    curl localhost:9464/metrics
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

import otel_metrics
from otel_metrics import skills


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start telemetry in the process that serves, and flush when it ends."""
    del app
    telemetry = otel_metrics.configure(service_name="fastapi-service")
    yield
    telemetry.shutdown()


app = FastAPI(lifespan=lifespan)


@app.get("/triage")
@skills.execution("triage", agent="support")
async def triage(message: str) -> dict[str, str]:
    """Answer with the queue that a message belongs to, and record what was decided."""
    queue = "shipping" if "parcel" in message else "refund"
    run = skills.current_execution()
    if run is not None:
        run.outcome(queue, confidence=0.8)
    return {"queue": queue}
