"""How far apart calls are kept, so that no window of a service's limit is ever too full."""

from collections.abc import Sequence

from providers.base import Rate

_MARGIN = 0.016
_MARGIN_MIN_S = 0.00065
"""How much wider than window / calls a slot is: this share of it, but no less than so many seconds,
because many calls a second delay one another already in this machine."""

_FOR_THE_NETWORK = 0.875
"""The part of a window's margins by which one call may come later than another. The rest is for
threads that wake up a little late: that costs nothing then."""


def spacing_s(rates: Sequence[Rate]) -> float:
    """Return the seconds between calls that satisfy every rate; 0 without rates."""
    return max(map(_slot_s, rates), default=0.0)


def _slot_s(rate: Rate) -> float:
    even_s = rate.per_s / rate.calls
    return even_s + max(even_s * _MARGIN, _MARGIN_MIN_S)


def window_s(rate: Rate) -> float:
    """Return how far apart a call and the one `calls` later are kept as they are sent."""
    return rate.per_s + _FOR_THE_NETWORK * (rate.calls * _slot_s(rate) - rate.per_s)
