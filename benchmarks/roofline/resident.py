"""The peak memory of a call as the operating system sees it, whoever allocates it."""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): the peak resident set becomes the present one


def peak_bytes(call: Callable[[], object]) -> int | None:
    """Bytes of resident memory at the peak of ``call`` above those before it; None off Linux.

    Whole pages, of this process: PyTorch, NumPy and compiled code alike. ``call`` runs once before.
    What the allocator keeps of freed memory is given back first; without that a call would reuse
    it unseen.
    """
    if not os.access(_CLEAR, os.W_OK):
        return None
    call()
    _give_back()
    _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    before = _kilobytes("VmHWM")
    call()
    return (_kilobytes("VmHWM") - before) * 1024


def _give_back() -> None:
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others keep little
    if trim is not None:
        trim(0)


def _kilobytes(field: str) -> int:
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1])
