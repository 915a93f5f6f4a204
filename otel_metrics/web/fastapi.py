"""`router`: the routes for `app.include_router(router)`, made when it is first asked for.

What secures it is read then from the variables of the page, `OTEL_EXPORTER_PROMETHEUS_*`; who has
it as arguments calls `routes(...)`. Dependencies that `include_router` is given are FastAPI's own
and do not reach these routes, which have their guard.
"""

from otel_metrics.web.routes import routes

try:
    from fastapi import APIRouter
except ImportError as error:
    raise ImportError("otel_metrics.web.fastapi needs FastAPI; pip install fastapi") from error

__all__ = ["router"]

router: APIRouter


def __getattr__(name: str) -> APIRouter:
    if name != "router":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()["router"] = APIRouter(routes=routes())
    return made
