"""The catalog in memory: the built-in one from its compiled form, a user's file on top of it.

The built-in YAML is never read at run time: it is compiled to JSON (`compile.py`), which decodes
in a few milliseconds and needs no YAML parser.
"""

from functools import cache
from importlib.resources import files

import msgspec

from otel_metrics.catalog.model import Catalog

__all__ = ["builtin"]

COMPILED = "compiled.json"


@cache
def builtin() -> Catalog:
    """Return the catalog that this package ships; the same object each time."""
    data = files("otel_metrics.catalog").joinpath(COMPILED).read_bytes()
    return msgspec.json.decode(data, type=Catalog)
