"""What follows when the service says that it is enough."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audit.pacing import Pacing
from providers.base import Rate
from tests.audit.clocks import FakeClock, new_file, tier


def test_a_throttle_stops_the_whole_account_for_a_while(tmp_path: Path) -> None:
    clock = FakeClock()
    limits = tier(Rate(10, 1), IndexFaces=(Rate(2, 1),))
    first = Pacing(tmp_path / "pacing.db", "account", limits, clock)
    second = Pacing(tmp_path / "pacing.db", "account", limits, clock)

    first.slow_down(30)

    assert second.wait("IndexFaces") == 30
    assert second.wait("Detect") == 0


def test_a_shorter_pause_does_not_end_a_longer_one(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(10, 1)), FakeClock())

    pacing.slow_down(30)
    pacing.slow_down(1)

    assert pacing.wait("Detect") == 30


def _width(pacing: Pacing) -> float:
    """Return how many times the usual spacing calls are apart now."""
    pacing.wait("Detect")
    return pacing.wait("Detect") / pacing.spacing_s("Detect")


def test_throttles_slow_all_processes_down_up_to_a_bound(tmp_path: Path) -> None:
    clock = FakeClock()
    first = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1000, 1)), clock)
    second = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1000, 1)), clock)
    widths = []
    for _ in range(9):
        first.slow_down(1)
        widths.append(_width(second))

    expected = [1.5, 2.25, 3.375, 5.0625, 7.59, 11.39, 16, 16, 16]
    assert widths == pytest.approx(expected, rel=0.02)


def test_throttles_of_calls_that_were_in_flight_together_slow_down_once(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1000, 1)), FakeClock())

    for _ in range(30):
        pacing.slow_down(1)

    assert _width(pacing) == pytest.approx(1.5)


@given(pauses_s=st.lists(st.floats(0, 60), min_size=1, max_size=12))
@settings(max_examples=25, deadline=None)
def test_the_pace_recovers_wholly_within_four_minutes(pauses_s: list[float]) -> None:
    clock = FakeClock()
    pacing = Pacing(new_file(), "account", tier(Rate(1000, 1)), clock)
    for pause_s in pauses_s:
        pacing.slow_down(pause_s)
        pacing.wait("Detect")
    clock.at += 60 + 4 * 60

    assert _width(pacing) == pytest.approx(1.0)


def test_without_rates_nothing_waits_but_for_a_pause(tmp_path: Path) -> None:
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(), FakeClock())
    before = [pacing.wait("Detect") for _ in range(3)]

    pacing.slow_down(30)

    assert [*before, pacing.wait("Detect"), pacing.wait("Detect")] == [0, 0, 0, 30, 0]
