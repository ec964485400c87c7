"""The processor's floating-point state: a mask must not depend on how a process has set it.

``torch.set_flush_denormal(True)``, or a library that was compiled with -ffast-math, makes numbers
below 1e-38 zero; another rounding mode changes the last bit of every operation. Both belong to a
thread, and a new thread inherits them.
"""

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

# Not constants in the expressions below: Python would compute those when it compiles them.
_ONE: Final = 1.0
_SMALLEST: Final = 5e-324  # a denormal float64
_HALF_ULP: Final = 2.0**-53  # half a unit in the last place of 1.0; below 1.0 these are half as far
_STATE_BYTES: Final = 256  # more than C's fenv_t takes on any platform
_threads: ContextVar[int | None] = ContextVar("threads", default=None)


def is_default() -> bool:
    """Return whether this thread rounds to the nearest and computes with denormal numbers.

    >>> is_default()
    True
    """
    keeps_denormals = _SMALLEST * _ONE != 0.0
    return keeps_denormals and _ONE + _HALF_ULP == _ONE and _ONE - _HALF_ULP / 2 == _ONE


@contextmanager
def default_environment() -> Iterator[None]:
    """Compute by default inside the block; the thread's former state is restored after it.

    torch's operators run on one thread inside, since the state of its others cannot be set.
    """
    former = _saved_state()
    threads = torch.get_num_threads()
    token = _threads.set(threads)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        _threads.reset(token)
        _restore(former)


def available_threads() -> int:
    """Return torch's number of threads, inside `default_environment` that of outside."""
    return _threads.get() or torch.get_num_threads()


def in_default_environment(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function always compute in the default environment; it costs 0.3 us where that is."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if is_default():
            return function(*args, **kwargs)
        with default_environment():
            return function(*args, **kwargs)

    return call


@cache
def _libm() -> Any:
    """Return the C library with fegetenv and fesetenv, or None."""
    try:
        library = ctypes.CDLL(None)
        library.fesetenv.argtypes = [ctypes.c_void_p]
        library.fegetenv.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError, TypeError):
        return None
    return library


def _saved_state() -> Any:
    """Set the default state, and return the former one for `_restore`.

    On Linux C's FE_DFL_ENV, which is the address -1 there; elsewhere only torch's own setting.
    """
    library = _libm()
    if library is not None:
        state = ctypes.create_string_buffer(_STATE_BYTES)
        library.fegetenv(state)
        library.fesetenv(ctypes.c_void_p(-1))
        if is_default():
            return state
    torch.set_flush_denormal(False)
    return None


def _restore(state: Any) -> None:
    if state is None:
        torch.set_flush_denormal(True)
    else:
        _libm().fesetenv(state)
