"""The built-in YAML -> `compiled.json`, by `python -m otel_metrics.catalog.compile`.

Run it after a change of the YAML, in a source tree; a test fails when it was forgotten.
"""

import os
from typing import Final

import msgspec

from otel_metrics.catalog.loader import COMPILED, InvalidCatalogError
from otel_metrics.catalog.model import Catalog
from otel_metrics.catalog.reading import Source, merge
from otel_metrics.yaml_source import read

__all__ = ["FOLDER", "compiled", "encode", "main"]

FOLDER: Final = os.path.dirname(os.path.abspath(__file__))
"""Where the YAML files and the compiled form are."""


def compiled() -> bytes:
    """Return what `compiled.json` must hold.

    Raises:
        InvalidCatalogError: the built-in files do not hold.
    """
    sources = []
    for name in sorted(os.listdir(FOLDER)):
        domain, ending = os.path.splitext(name)
        if ending == ".yaml":
            root = read(os.path.join(FOLDER, name))
            sources.append(Source(file=name, domain=domain, root=root))
    catalog, problems = merge(sources)
    if problems:
        raise InvalidCatalogError(problems)
    return encode(catalog)


def encode(catalog: Catalog) -> bytes:
    """Return a catalog as JSON, one entry a line, so that a change of one shows as one line."""
    sections = []
    for section in catalog.__struct_fields__:
        entries = [
            msgspec.json.encode(name) + b":" + msgspec.json.encode(entry)
            for name, entry in getattr(catalog, section).items()
        ]
        sections.append(b'"%s":{\n%s\n}' % (section.encode(), b",\n".join(entries)))
    return b"{\n" + b",\n".join(sections) + b"\n}\n"


def main() -> None:
    """Write `compiled.json`."""
    data = compiled()  # before the file is opened: what does not hold must not empty it
    with open(os.path.join(FOLDER, COMPILED), "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()
