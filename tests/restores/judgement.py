"""What must be there after a restore, by what writers recorded outside the database."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from tests.ops.cluster.writer import Ack, Key

Rows = Sequence[tuple[int, int, int, Sequence[int]]]
"""Of each writer in a copy: its number, the highest of its rows, how many rows are there twice,
and the numbers below the highest that are missing."""


@dataclass(frozen=True)
class Burned:
    """What would have been left at a moment.

    Attributes: `age`, seconds from the newest row that is left to the moment; `lost`, acknowledged
    writes that are not; `span`, seconds from the first of those to the moment.
    """

    rate: str
    moment: str
    age: float
    lost: int
    span: float
    reached: str


def burned(rate: str, moment: float, said: tuple[Rows, str], acks: list[Ack]) -> Burned:
    """Compare what a copy has with what was acknowledged until a moment.

    Raises AssertionError if a row is there twice, or one is missing that a later one follows.
    """
    rows, reached = said
    newest = {}
    for number_of, highest, doubled, missing in rows:
        assert doubled == 0, f"writer {number_of} has {doubled} rows twice"
        gone = {(number_of, number) for number in missing} & {one.key for one in acks}
        assert not gone, f"a later row is there, and not {sorted(gone)[:5]}"
        newest[number_of] = highest
    until = [one for one in acks if one.at <= moment]
    left = [one for one in until if one.number <= newest.get(one.writer, 0)]
    lost = [one for one in until if one.number > newest.get(one.writer, 0)]
    return Burned(
        rate=rate,
        moment=f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}",
        age=round(moment - max(one.at for one in left), 1),
        lost=len(lost),
        span=round(moment - min((one.at for one in lost), default=moment), 1),
        reached=reached,
    )


def archived(acks: list[Ack], archive_end: int) -> tuple[set[Key], set[Key]]:
    """The acknowledged writes that an archive up to a position has, and those it cannot have.

    A commit lies between the position that its own write tells and that which the writer's next
    one does.
    """
    in_order = sorted(acks, key=lambda ack: ack.key)
    must = {
        one.key
        for one, after in itertools.pairwise(in_order)
        if one.writer == after.writer and after.lsn <= archive_end
    }
    return must, {one.key for one in acks if one.lsn >= archive_end}
