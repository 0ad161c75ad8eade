"""Which WAL the repository holds, and up to where it is whole."""

from __future__ import annotations

import re

from tests.ops.cluster.harness import Cluster

SEGMENT = re.compile(r"([0-9A-F]{24})-[0-9a-f]{40}")
SEGMENTS = 256
"""In one position's upper half, with segments of 16 MiB."""
SEGMENT_BYTES = 16 << 20


def segments(cluster: Cluster, machine: str) -> set[str]:
    """The names of the WAL segments in the archive, as pgBackRest lists them on a machine."""
    listed = cluster.on(
        machine,
        "runuser -u postgres -- pgbackrest repo-ls --recurse --log-level-console=off"
        " archive/wedsync",
    )
    return set(SEGMENT.findall(listed))


def following(segment: str) -> str:
    """The name of the next segment on the same timeline."""
    number = int(segment[8:16], 16) * SEGMENTS + int(segment[16:], 16) + 1
    return f"{segment[:8]}{number // SEGMENTS:08X}{number % SEGMENTS:08X}"


def walk(there: set[str], first: str) -> str:
    """The last segment of the same timeline that is there with all between it and `first`."""
    assert first in there
    last = first
    while (after := following(last)) in there:
        last = after
    return last


def end(segment: str) -> int:
    """The position behind a segment's last byte."""
    number = int(segment[8:16], 16) * SEGMENTS + int(segment[16:], 16)
    return (number + 1) * SEGMENT_BYTES
