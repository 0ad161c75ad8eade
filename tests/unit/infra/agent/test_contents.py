"""What is compared of a copy, and what nobody can tell."""

from __future__ import annotations

from infra.agent.contents import differences, expected

A, B, C, D = (("public.guests", "guests", bucket) for bucket in range(4))


def test_what_changed_while_the_point_was_written_is_not_compared() -> None:
    wanted = expected({A: (3, "a"), B: (2, "b")}, {A: (3, "a"), B: (3, "c"), C: (1, "d")})
    assert (wanted.settled, wanted.rows) == ({A: (3, "a")}, 3)
    assert wanted.moving == {B, C}
    assert differences(wanted, {A: (3, "a"), B: (9, "x")}) == []


def test_rows_lost_changed_and_too_many_are_named() -> None:
    before = {A: (3, "a"), B: (2, "b"), C: (1, "c")}
    found = {A: (3, "x"), B: (1, "b"), D: (1, "d")}
    assert differences(expected(before, before), found) == [
        "guests range 0: other content in 3 rows",
        "guests range 1: 1 rows instead of 2",
        "guests range 2: 0 rows instead of 1",
        "guests range 3: 1 rows instead of 0",
    ]
