"""The catalog in memory: the built-in one from its compiled form, a user's file on top of it.

The built-in YAML is not read at run time: it is compiled to JSON (`compile.py`), which decodes in
a few milliseconds and needs no YAML parser.
"""

import os
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from otel_metrics.catalog.model import Catalog
from otel_metrics.errors import CatalogError

if TYPE_CHECKING:
    from otel_metrics.catalog.reading import NameOf, ProblemOf
    from otel_metrics.yaml_source import Problem

__all__ = ["COMPILED", "InvalidCatalogError", "builtin", "load"]

COMPILED: Final = "compiled.json"
"""The built-in catalog beside this file."""


class InvalidCatalogError(CatalogError):
    """A catalog file that does not hold; `problems` has every reason, in the order of lines."""

    def __init__(self, problems: "tuple[Problem, ...]") -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@cache
def builtin() -> Catalog:
    """Return the catalog that this package ships; the same object each time."""
    data = pkgutil.get_data(__package__, COMPILED)
    assert data is not None  # the loader of every installed package reads its files
    return msgspec.json.decode(data, type=Catalog)


def load(
    path: str | os.PathLike[str],
    *,
    into: Catalog,
    name_of: "NameOf",
    problem_of: "ProblemOf | None" = None,
) -> Catalog:
    """Return `into` with what a user's file adds.

    The file is in Weaver's registry format, `file_format: definition/2`. It may define
    `attributes`, `metrics`, `events` and `playbooks`. To a metric of `into` it may add attributes,
    and say anew where the values come from, which are good, and what to do when they are not:

        metric_refinements:
          - id: shop.skill.executions     # a name of your own
            ref: skill.executions
            attributes:
              - ref: shop.region
          - id: shop.queue
            ref: executor.queue_depth
            annotations:
              bands: {good: {upper: 100}, critical: {lower: 500}}

    Args:
        name_of: (metric name, unit, instrument) -> its name in Prometheus.
        problem_of: (metric name, unit, instrument) -> why translators would render it
            differently, or None.

    Raises:
        InvalidCatalogError: with each problem's file, line, key and remedy.
    """
    # The checks are 13 ms of import, a quarter of our start-up, and for a user's file only.
    from otel_metrics.catalog.reading import Source, merge
    from otel_metrics.yaml_source import YamlSourceError, read

    file = os.fspath(path)
    try:
        root = read(file)
    except YamlSourceError as error:
        raise InvalidCatalogError(error.problems) from error
    domain = os.path.splitext(os.path.basename(file))[0]
    source = Source(file=file, domain=domain, root=root)
    catalog, problems = merge([source], into=into, name_of=name_of, problem_of=problem_of)
    if problems:
        raise InvalidCatalogError(problems)
    return catalog
