"""The order in which files are visited."""

from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.demo.library import Source, in_order


def test_the_order_is_the_same_on_every_machine() -> None:
    """The sums of a demo can be asserted because its beginning is always the same."""
    assert in_order(["os.py", "ast.py", "json/decoder.py"]) == (
        "json/decoder.py",
        "ast.py",
        "os.py",
    )


@given(st.permutations(["a.py", "b.py", "c/d.py", "caf\udce9.py"]))
def test_the_order_does_not_depend_on_how_files_were_found(found: list[str]) -> None:
    """Folders are listed in any order; the visit is not, whatever bytes a name holds."""
    assert in_order(found) == in_order(["a.py", "b.py", "c/d.py", "caf\udce9.py"])


def test_equal_contents_are_known_by_their_digest() -> None:
    """A copy of a file is recognised under another name."""
    assert Source("a.py", b"x").digest == Source("b.py", b"x").digest
    assert Source("a.py", b"x").digest != Source("a.py", b"y").digest
