"""Where the links of a page of the documentation lead."""

import re
from pathlib import Path

__all__ = ["DOCS", "broken"]

DOCS = Path(__file__).parents[2] / "docs"


def broken(page: str) -> list[str]:
    """Return the links of a page in `docs/` that lead nowhere: to no file, or to no heading."""
    found = []
    for path, heading in re.findall(r"\]\((?!http)([^)#]*)#?([^)]*)\)", page):
        target = page if not path else _read(DOCS / path)
        if target is None or (heading and heading not in _headings(target)):
            found.append(f"{path}#{heading}")
    return found


def _read(path: Path) -> str | None:
    if path.is_dir():
        return ""
    return path.read_text() if path.exists() else None


def _headings(page: str) -> set[str]:
    return {
        re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    }
