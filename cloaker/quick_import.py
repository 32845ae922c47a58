"""Importing torchvision without torch's compiler, which takes longer than all else together.

facenet-pytorch imports torchvision, and torchvision imports the compiler for a single question, of
an operation that nobody here uses: 8 of the 14 seconds of processor time before the first face was
looked for.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_COMPILER = ("torch._dynamo", "torch._dynamo.utils")


@contextmanager
def without_compiler() -> Iterator[None]:
    """Let what is imported meanwhile find a compiler that can't compile; afterwards it's the true one."""
    if any(name in sys.modules for name in _COMPILER):
        yield
        return
    stands_in = {name: ModuleType(name) for name in _COMPILER}
    vars(stands_in["torch._dynamo.utils"])["is_compile_supported"] = lambda _device: False
    sys.modules.update(stands_in)
    try:
        yield
    finally:
        for name in _COMPILER:
            del sys.modules[name]
