"""The month's quota."""

from pathlib import Path

import pytest

from audit.errors import Stopped
from audit.pacing import Pacing
from providers.base import Rate
from tests.audit.clocks import FakeClock, tier

MONTHS_END = 1_767_225_600.0  # 2026-01-01 UTC


@pytest.mark.parametrize("rates", [(), (Rate(1000, 1),)])
def test_the_month_s_quota_is_never_exceeded(tmp_path: Path, rates: tuple[Rate, ...]) -> None:
    clock = FakeClock(MONTHS_END - 3600)
    limits = tier(*rates, quota=3)
    pacing = Pacing(tmp_path / "pacing.db", "account", limits, clock)
    left = [pacing.quota_left()]
    for _ in range(3):
        pacing.wait("Detect")
        left.append(pacing.quota_left())

    assert left == [3, 2, 1, 0]
    message = "the quota of 3 calls in 2025-12 .UTC. of tier a tier is spent"
    with pytest.raises(Stopped, match=message):
        Pacing(tmp_path / "pacing.db", "account", limits, clock).wait("Train")


def test_a_new_month_has_its_own_quota(tmp_path: Path) -> None:
    clock = FakeClock(MONTHS_END - 1)
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(quota=1), clock)
    pacing.wait("Detect")
    clock.at = MONTHS_END

    assert pacing.quota_left() == 1
    assert pacing.wait("Detect") == 0


def test_a_spent_quota_is_told_before_anybody_waits(tmp_path: Path) -> None:
    clock = FakeClock()
    pacing = Pacing(tmp_path / "pacing.db", "account", tier(Rate(1, 60), quota=1), clock)
    pacing.wait("Detect")

    with pytest.raises(Stopped):
        pacing.wait("Detect")
    assert clock.at == 1_000_000.0


def test_a_smaller_quota_than_was_spent_leaves_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    larger = Pacing(tmp_path / "pacing.db", "account", tier(quota=5), clock)
    for _ in range(4):
        larger.wait("Detect")

    assert Pacing(tmp_path / "pacing.db", "account", tier(quota=2), clock).quota_left() == 0


def test_without_a_quota_none_is_left_to_tell(tmp_path: Path) -> None:
    assert Pacing(tmp_path / "pacing.db", "account", tier(), FakeClock()).quota_left() is None
