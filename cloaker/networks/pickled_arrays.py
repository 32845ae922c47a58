"""Reading pickles that hold nothing but NumPy arrays: no other code is ever unpickled."""

import io
import pickle
from typing import Any

import numpy as np

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np.ndarray(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module.replace("numpy._core", "numpy.core"), name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array") from None


def read_arrays(content: bytes) -> dict[str, Any]:
    """Return a dict of arrays, or of such dicts, pickled by protocol 3 or later.

    Raises ValueError when the bytes hold anything else.
    """
    try:
        return dict(_Unpickler(io.BytesIO(content)).load())
    except (pickle.UnpicklingError, EOFError, TypeError, IndexError, ValueError) as error:
        raise ValueError(f"no pickled dict of arrays: {error}") from error
