"""Each reader of SQL can say no."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import lint_sql
from tools.command import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PLPGSQL = """\
-- What it is for.
CREATE FUNCTION public.answer() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    IF true THEN RETURN 42; {end};
END
$$;
"""
OTHER_SCHEMA = """\
CREATE FUNCTION internal.latest(p_row internal.runs) RETURNS internal.runs LANGUAGE plpgsql AS $$
DECLARE
    v_row internal.runs;
BEGIN
    SELECT * INTO v_row FROM internal.runs;
    RETURN v_row;
{end}
$$;
"""
DO_BLOCK = "SELECT 1;\nDO $$ BEGIN {word} 1; END $$;\n"
PYTHON = """\
CREATE FUNCTION public.answer() RETURNS integer LANGUAGE plpython3u AS $$
if True{colon}
    return 42
$$;
"""
TABLE = "CREATE TABLE public.guests (guest_id bigint PRIMARY KEY);\n"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("SELECT 1;\nSELEC 2;\n", ':2: syntax error at or near "SELEC"'),
        (PLPGSQL.format(end="END IFF"), ':2: public.answer: syntax error at or near "IFF"'),
        (
            OTHER_SCHEMA.format(end="EN"),
            ":1: internal.latest: unexpected end of function definition at end of input",
        ),
        (DO_BLOCK.format(word="PERFROM"), ':2: DO block: syntax error at or near "PERFROM"'),
        (PYTHON.format(colon=""), ":1: public.answer, line 2 of its body: expected ':'"),
    ],
)
def test_syntax_errors_are_found_and_placed(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "broken.sql"
    path.write_text(text, "utf-8")
    assert list(lint_sql.syntax_problems(path)) == [f"{path}{problem}"]


@pytest.mark.parametrize(
    "text",
    [
        PLPGSQL.format(end="END IF"),
        OTHER_SCHEMA.format(end="END"),
        DO_BLOCK.format(word="PERFORM"),
        PYTHON.format(colon=":"),
        TABLE,
        "",
    ],
)
def test_correct_sql_has_no_problems(tmp_path: Path, text: str) -> None:
    path = tmp_path / "correct.sql"
    path.write_text(text, "utf-8")
    assert list(lint_sql.syntax_problems(path)) == []


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        (TABLE, True),
        ("CREATE INDEX guests_name ON public.guests (name);\n", False),
        ("ALTER TABLE public.guests ALTER COLUMN name SET NOT NULL;\n", False),
    ],
)
def test_squawk_refuses_what_would_lock_a_table(tmp_path: Path, text: str, passes: bool) -> None:
    path = tmp_path / "0001.guests.sql"
    path.write_text(text, "utf-8")
    assert lint_sql.squawk_passes([path]) is passes


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("SELECT guest_id FROM public.guests;\n", True),
        ("SELECT guest_id   FROM public.guests;\n", False),
        ("select guest_id FROM public.guests;\n", False),
    ],
)
def test_sqlfluff_refuses_another_layout(tmp_path: Path, text: str, passes: bool) -> None:
    path = tmp_path / "layout.sql"
    path.write_text(text, "utf-8")
    assert lint_sql.sqlfluff_passes([path]) is passes


def test_rollbacks_are_no_forward_migrations() -> None:
    folder = ROOT / "migrations"
    names = ["0001.a.sql", "0001.a.rollback.sql"]
    files = [*(folder / name for name in names), ROOT / "policies" / "a.sql"]
    assert lint_sql.forward_migrations(files) == [folder / "0001.a.sql"]
