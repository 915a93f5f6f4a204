"""Queries of catalog files: one SELECT is let through, anything else is refused in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_metrics.catalog.queries import problem_of


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1",
        "select count(*) from tasks;",
        "\n  -- all; of them\n  SELECT 1 /* DELETE */ FROM a",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH waiting AS (SELECT 1) SELECT * FROM waiting",
        "SELECT ';', 'INSERT', \"update\", `delete`, 'it''s; so' FROM a",
        "SELECT a FROM b WHERE c >= :since AND c < :now",
        "SELECT a::text, updated_at, last_insert FROM b",
    ],
)
def test_one_select_may_be_asked(query: str) -> None:
    """In any spelling, with comments, texts and names that look like more than they are."""
    assert problem_of(query) is None


@pytest.mark.parametrize(
    ("query", "message", "remedy"),
    [
        ("SELECT 1; DELETE FROM a", "has more than one statement", "keep one SELECT"),
        ("SELECT 1; -- no more\n;", "has more than one statement", "keep one SELECT"),
        ("DELETE FROM a", "is no SELECT", "begin it with SELECT or WITH"),
        ("selection", "is no SELECT", "begin it with SELECT or WITH"),
        ("EXPLAIN SELECT 1", "is no SELECT", "begin it with SELECT or WITH"),
        ("-- SELECT\nDROP TABLE a", "is no SELECT", "begin it with SELECT or WITH"),
        ("", "is no SELECT", "begin it with SELECT or WITH"),
        (
            "WITH a AS (delete FROM b RETURNING *) SELECT * FROM a",
            "has DELETE, which writes",
            "only read; quote a column that is called so",
        ),
        ("SELECT * INTO b FROM a", "has INTO, which writes", "only read"),
        ("SELECT a FROM b FOR UPDATE", "has UPDATE, which writes", "only read"),
        (
            "SELECT a FROM b WHERE c > :from",
            "has the parameter :from, which nothing gives",
            "there are :now and :since",
        ),
    ],
)
def test_anything_else_is_refused(query: str, message: str, remedy: str) -> None:
    """With what is wrong and what to do."""
    problem = problem_of(query)

    assert problem is not None
    assert problem[0] == message
    assert problem[1].startswith(remedy)


@given(st.text(), st.sampled_from(["INSERT", "update", "Delete", "merge", "INTO"]), st.text())
def test_no_text_around_a_writing_word_hides_it(before: str, word: str, after: str) -> None:
    """Whatever a text literal holds is no statement; what follows it is."""
    quoted = before.replace("'", "''")

    assert problem_of(f"SELECT '{quoted}' {word} x") is not None
    assert problem_of(f"{after} SELECT 1; SELECT 2 '") is not None


@given(st.text())
def test_any_text_is_judged(query: str) -> None:
    """Nothing that a file may hold is a crash, and a refusal always says what to do."""
    problem = problem_of(query)

    assert problem is None or all(problem)
