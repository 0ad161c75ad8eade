"""The judgement itself: it has to find what is missing, doubled, or older than it may be."""

from __future__ import annotations

import pytest

from tests.ops.cluster.writer import Ack
from tests.restores.archive import SEGMENT_BYTES, end, following, walk
from tests.restores.judgement import archived, burned

ACKS = [
    Ack(writer, number, at, at + 0.5, 1, 1000 * number + writer)
    for writer in (1, 2)
    for number, at in ((1, 10.0), (2, 20.0), (3, 30.0), (4, 40.0))
]
WHOLE: list[tuple[int, int, int, list[int]]] = [(1, 4, 0, []), (2, 4, 0, [])]


def test_what_is_newer_than_the_newest_row_is_lost() -> None:
    assert burned("slow", 41.0, (WHOLE, "0/1"), ACKS).lost == 0
    seen = burned("slow", 41.0, ([(1, 3, 0, []), (2, 2, 0, [])], "0/1"), ACKS)
    assert (seen.lost, seen.age, seen.span) == (3, 10.5, 10.5)
    early = burned("slow", 25.0, ([(1, 3, 0, []), (2, 2, 0, [])], "0/1"), ACKS)
    assert (early.lost, early.age, early.span) == (0, 4.5, 0)


def test_a_writer_of_whom_nothing_is_there_has_lost_everything() -> None:
    assert burned("slow", 41.0, ([(1, 4, 0, [])], "0/1"), ACKS).lost == 4


@pytest.mark.parametrize("row", [(1, 4, 1, []), (1, 4, 0, [2])])
def test_a_row_twice_and_a_hole_are_faults(row: tuple[int, int, int, list[int]]) -> None:
    with pytest.raises(AssertionError):
        burned("slow", 41.0, ([row, WHOLE[1]], "0/1"), ACKS)


def test_a_hole_that_was_never_acknowledged_is_none() -> None:
    acks = [ack for ack in ACKS if ack.key != (1, 2)]
    assert burned("slow", 41.0, ([(1, 4, 0, [2]), WHOLE[1]], "0/1"), acks).lost == 0


def test_an_archive_has_what_was_committed_before_its_end() -> None:
    """A commit lies between the place its write tells and that of the writer's next one."""
    must, never = archived(ACKS, 3001)
    assert must == {(1, 1), (1, 2), (2, 1)}
    assert never == {(1, 3), (2, 3), (1, 4), (2, 4)}
    assert archived(ACKS, 10_000) == ({ack.key for ack in ACKS if ack.number < 4}, set())


def test_segments_follow_each_other_until_one_is_missing() -> None:
    first = "0000000200000001000000FE"
    assert following(following(first)) == "000000020000000200000000"
    there = {first, "0000000200000001000000FF", "000000020000000200000001"}
    assert walk(there, first) == "0000000200000001000000FF"
    assert end(first) == 0x1FF * SEGMENT_BYTES
    with pytest.raises(AssertionError):
        walk(there, "0000000100000001000000FE")
