"""Whether a query of a catalog file is one SELECT that only reads, as far as its text can tell.

Pure, and no parser of SQL: it finds what was written by mistake. What a query cannot do whatever
its text is, the source sees to: it asks in a read-only transaction, or of a read-only file.
"""

import re
from typing import Final

__all__ = ["PARAMETERS", "QUERY_CHARS_MAX", "problem_of"]

QUERY_CHARS_MAX: Final = 10_000
"""Characters of a query."""
PARAMETERS: Final = ("now", "since")
"""Names that a query may bind, each a time in UTC."""

_APART: Final = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*`""", re.VERBOSE | re.DOTALL
)
"""Comments, texts and quoted names: what they say is no part of the statement."""
_BEGIN: Final = re.compile(r"\s*\(*\s*(?:SELECT|WITH)\b", re.IGNORECASE)
_WRITES: Final = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE|INTO)\b", re.IGNORECASE)
# As SQLAlchemy's `text()` finds them, in texts and comments too.
_BOUND: Final = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")


def problem_of(query: str) -> tuple[str, str] | None:
    """Return what is wrong with a query of an `sql` source, and what to do; None where nothing."""
    bare = _APART.sub(" ", query).strip().removesuffix(";")
    if ";" in bare:
        return "has more than one statement", "keep one SELECT, without ';' in it"
    if not _BEGIN.match(bare):
        return "is no SELECT", "begin it with SELECT or WITH: a source only reads"
    writes = _WRITES.search(bare)
    if writes:
        word = writes[0].upper()
        return f"has {word}, which writes", "only read; quote a column that is called so"
    for name in _BOUND.findall(query):
        if name not in PARAMETERS:
            known = " and ".join(f":{known}" for known in PARAMETERS)
            return f"has the parameter :{name[:80]}, which nothing gives", f"there are {known}"
    return None
