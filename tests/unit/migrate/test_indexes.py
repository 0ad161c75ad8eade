"""Which statements build an index beside the traffic, and what they say."""

from __future__ import annotations

import pytest
from guestcomms.migrate import indexes


@pytest.mark.parametrize(
    ("statement", "rest"),
    [
        ("CREATE INDEX CONCURRENTLY i ON public.t (a, b);", "(a, b)"),
        ("-- Why.\n\ncreate index concurrently i\n  on public.t using gin (a)\nWHERE b > 1;\n",
         "using gin (a)\nWHERE b > 1"),
        ("CREATE INDEX CONCURRENTLY i ON public.t(a) INCLUDE (b)", "(a) INCLUDE (b)"),
    ],
)  # fmt: skip
def test_what_it_says(statement: str, rest: str) -> None:
    index = indexes.read(statement)
    assert index is not None
    assert (index.full_name, index.table, index.unique) == ("public.i", "public.t", "")
    assert index.rest == rest


def test_a_unique_one() -> None:
    index = indexes.read("CREATE UNIQUE INDEX CONCURRENTLY i ON public.t (a);")
    assert index is not None
    assert index.unique == "UNIQUE "


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX i ON public.t (a);",
        "DROP INDEX CONCURRENTLY public.i;",
        "CREATE INDEX CONCURRENTLY i ON t (a);",
        "COMMENT ON TABLE public.t IS 'CREATE INDEX CONCURRENTLY i ON public.t (a)';",
    ],
)
def test_what_is_left_to_postgresql(statement: str) -> None:
    assert indexes.read(statement) is None
