"""Memory that is freed goes back to the system."""

from pathlib import Path

import numpy as np
import pytest

from cloaker import memory

BLOCKS, BLOCK_BYTES = 1000, 100_000  # each too small for malloc to ask the system for it alone


@pytest.mark.skipif(memory.trim is None, reason="the C library is not glibc")
def test_what_lies_free_between_what_is_used_is_given_back() -> None:
    blocks = [np.ones(BLOCK_BYTES, np.uint8) for _ in range(BLOCKS)]
    used = blocks[::10]
    del blocks
    before = resident_bytes()
    memory.give_back()
    assert before - resident_bytes() > BLOCKS * BLOCK_BYTES / 2
    assert sum(int(block.sum()) for block in used) == len(used) * BLOCK_BYTES


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
