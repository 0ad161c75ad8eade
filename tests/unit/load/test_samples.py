"""k6's samples, as its CSV output writes them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from guestcomms.load.plan import Window
from guestcomms.load.result import Samples, percentile

HEAD = "metric_name,timestamp,metric_value,scenario,extra_tags"
BEGIN = 1_800_000_000.0


def written(folder: Path, *rows: tuple[str, float, float, str]) -> Samples:
    """Rows of metric, second, value, tags; the first heartbeat tells where second 0 is."""
    lines = [HEAD]
    lines += [
        f"{name},{round((BEGIN + at) * 1000)},{value},bulk_send,{tags}"
        for name, at, value, tags in (("generator_lag", 0.06, 10, ""), *rows)
    ]
    file = folder / "samples.csv.gz"
    file.write_bytes(gzip.compress("\n".join(lines).encode()))
    return Samples(file)


def answer(at: float, milliseconds: float) -> list[tuple[str, float, float, str]]:
    return [("latency", at, milliseconds, "op=bulk_send"), ("answered", at, 1, "op=bulk_send")]


def test_load_begins_with_the_heartbeat_not_with_the_first_client(tmp_path: Path) -> None:
    found = written(tmp_path, ("vus", -16.1, 700, ""), *answer(3, 20))
    assert found.began == pytest.approx(BEGIN)


def test_without_a_heartbeat_it_begins_with_the_first_call(tmp_path: Path) -> None:
    file = tmp_path / "samples.csv.gz"
    row = f"answered,{round((BEGIN + 2) * 1000)},1,one,op=bulk_send"
    file.write_bytes(gzip.compress(f"{HEAD}\n{row}\n".encode()))
    assert Samples(file).began == pytest.approx(BEGIN + 2)


def test_a_window_has_what_ended_in_it(tmp_path: Path) -> None:
    found = written(
        tmp_path, *answer(9.9, 1000), *answer(10, 10), *answer(15, 30), *answer(20, 500),
        ("failed", 12, 1, "op=bulk_send&why=gone"), ("dropped_iterations", 13, 2, "op=bulk_send"),
    )  # fmt: skip
    (step,) = found.steps(found.began, [Window(10, 20, 1)], ["bulk_send"])
    one = step.operations["bulk_send"]
    assert (one.answered, one.failed, one.dropped) == (2, 1, 2)
    assert (one.p50_ms, one.p99_ms, one.max_ms) == (10, 30, 30)
    assert one.per_second == 0.2
    assert found.errors == {"bulk_send: gone": 1}


def test_wrong_answers_and_open_calls_count_wherever_they_are(tmp_path: Path) -> None:
    begun = [("begun", at, 1.0, "op=bulk_send") for at in (0.9, 14.9, 15, 19)]
    found = written(tmp_path, *begun, ("wrong", 1, 1, "op=bulk_send"), *answer(15, 30))
    assert (found.wrong, found.cut) == (1, 2)
    assert found.ended == pytest.approx(BEGIN + 15)


def test_blocks_are_medians_of_two_seconds(tmp_path: Path) -> None:
    calls = [answer(at / 10, 10 if at < 20 else 30) for at in range(40)]
    found = written(tmp_path, *[row for one in calls for row in one])
    blocks = found.blocks(found.began, [Window(0, 4, 1)])
    assert blocks["bulk_send"] == [10, 30]
    assert blocks["calls/s"] == [10, 10]


@pytest.mark.parametrize(("share", "value"), [(50, 5), (95, 10), (99, 10), (1, 1)])
def test_percentiles_are_values_that_were_measured(share: float, value: float) -> None:
    assert percentile([*range(1, 11)], share) == value


def test_nothing_has_no_percentile() -> None:
    assert percentile([], 99) is None
