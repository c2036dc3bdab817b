"""Loops as machine code: compiled once, then loaded from disk.

A loop that calls `np.sum` or `np.count_nonzero` needs the modules in which Numba implements them,
in every process; written as a loop as well, it loads in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pickle import UnpicklingError
from typing import Any, TypeVar

from llvmlite.binding import ffi
from numba import njit
from numba.core.caching import FunctionCache
from numba.core.runtime.nrt import rtsys

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class MachineCode(FunctionCache):
    """Numba's cache on disk, which leaves the compiler alone while nothing is to be compiled.

    Before it loads a function, Numba's own cache imports all that compiling one can need: some 200
    modules and SciPy's linear algebra. Machine code needs the runtime that counts its arrays'
    references, and the compiler prepares itself where it has to compile. So this changes how long
    the first call takes, and nothing else.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Returns what was compiled for a signature, None if nothing was that can be read."""
        rtsys.initialize(target_context)
        try:
            with self._guard_against_spurious_io_errors(), _without_listeners():
                return self._load_overload(sig, target_context)
        except (ArithmeticError, AttributeError, EOFError, ImportError, LookupError, TypeError,
                ValueError, UnpicklingError):  # fmt: skip
            # An index names the types of its signatures; after an update one may be gone.
            self.flush()
            return None


@contextmanager
def _without_listeners() -> Iterator[None]:
    """Keeps Numba from announcing its calls into LLVM, thousands while it loads: nobody listens."""
    told = getattr(getattr(ffi.lib, "_lock", None), "_cblist", [])
    kept, told[:] = told[:], []
    try:
        yield
    finally:
        told[:] = kept


def compiled(function: FunctionT) -> FunctionT:
    """Decorates a function that runs as machine code, kept in `__pycache__` beside its file.

    Without the interpreter's lock, so that threads can run it side by side; division by zero gives
    what NumPy gives.
    """
    kernel: Any = njit(nogil=True, error_model="numpy")(function)
    if kernel is not function:  # as it is where NUMBA_DISABLE_JIT is set
        kernel._cache = MachineCode(function)
    return kernel
