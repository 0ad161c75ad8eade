"""What pgbench said, as a rate."""

from __future__ import annotations

import pytest
from guestcomms.errors import GuestcommsError
from guestcomms.load.reference import steady

SAID = """\
progress: 1.0 s, 12.0 tps, lat 4.0 ms stddev 1.0, 0 failed
progress: 2.0 s, 300.5 tps, lat 4.0 ms stddev 1.0, 0 failed
progress: 3.0 s, 401.0 tps, lat 4.0 ms stddev 1.0, 0 failed
progress: 4.0 s, 399.0 tps, lat 4.0 ms stddev 1.0, 0 failed
"""


def test_the_first_half_does_not_count() -> None:
    assert steady(SAID) == 400


@pytest.mark.parametrize("said", ["", "progress: 1.0 s, 0.0 tps, lat 0.0 ms, 0 failed\n"])
def test_no_rate_is_no_figure(said: str) -> None:
    with pytest.raises(GuestcommsError, match="more"):
        steady(said)
