"""Signals that end a command: Ctrl-C, and what schedulers, systems and closing terminals send.

A loop that has something to save collects the first signal and ends in order (`collect_signals`);
anywhere else SIGTERM and SIGHUP raise `Stopped`, as Ctrl-C raises `KeyboardInterrupt`. The next
signal ends the process at once; Ray's processes end with it.
"""

from __future__ import annotations

import os
import signal
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

_SENT = (signal.SIGTERM, signal.SIGHUP)  # by programs; a person's Ctrl-C is SIGINT


class Stopped(BaseException):
    """A signal that ends the command; no `Exception`, so that nothing takes it for a failure."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def compute_status(number: int) -> int:
    """Returns the exit status of a command that a signal has ended, as a shell counts it."""
    return 128 + number


def compute_status_when_saved(number: int) -> int:
    """Returns the exit status of a loop that a signal has ended in order.

    Ctrl-C got what the person asked for: 0. A program that sends a signal expects to see it.
    """
    return 0 if number == signal.SIGINT else compute_status(number)


def leave(status: int) -> NoReturn:
    """Ends the process at once, when all that is to be kept is on the disk.

    Ray's processes end with it. Ray would ask them in order, one after the other, and systems send
    SIGKILL ten seconds after SIGTERM.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def install_handlers() -> None:
    """Makes SIGTERM and SIGHUP raise `Stopped`; what is ignored stays so, as under nohup."""
    for number in _list_heeded(_SENT):
        signal.signal(number, _raise)


@contextmanager
def collect_signals() -> Iterator[list[int]]:
    """Collects the first signal, so that a loop can end in order."""
    with _handled((signal.SIGINT, *_list_heeded(_SENT))) as received:
        yield received


@contextmanager
def forward_signals() -> Iterator[list[int]]:
    """Collects the first SIGTERM or SIGHUP and turns it into Ctrl-C, for Ray Tune's own loop."""
    with _handled(_list_heeded(_SENT), forwards=True) as received:
        try:
            yield received
        except KeyboardInterrupt:  # before Ray Tune listens
            if received:
                raise Stopped(received[0]) from None
            raise


@contextmanager
def keep_handlers() -> Iterator[None]:
    """Keeps our handlers while Ray starts, which brings its own.

    Its processes inherit that SIGHUP is ignored and SIGTERM blocked: terminals, Slurm and `kill`
    with a process group send both to them as well, and Ray ends this process, without a chance to
    save anything, when it reaches for one of them that is gone.
    """
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SENT}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextmanager
def _handled(numbers: tuple[int, ...], *, forwards: bool = False) -> Iterator[list[int]]:
    """Collects the first signal in a block; the next one ends the process wherever it is."""
    received: list[int] = []

    def handler(number: int, _frame: FrameType | None) -> None:
        if received:
            _end_now(number)
        received.append(number)
        _leave_terminal(number)
        if forwards:
            signal.raise_signal(signal.SIGINT)

    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield received
    finally:
        for number, handler_before in before.items():
            signal.signal(number, _end_now if received else handler_before)


def _raise(number: int, _frame: FrameType | None) -> None:
    for other in (signal.SIGINT, *_list_heeded(_SENT)):
        signal.signal(other, _end_now)
    _leave_terminal(number)
    raise Stopped(number)


def _end_now(number: int, _frame: FrameType | None = None) -> None:
    if sys.stdout.isatty():
        os.write(1, b"\x1b[?25h\n")  # the cursor, which the live line hides
    os._exit(compute_status(number))


def _leave_terminal(number: int) -> None:
    """After SIGHUP the terminal is gone, and writing to it fails."""
    if number != signal.SIGHUP:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        if stat.S_ISCHR(os.fstat(stream).st_mode):  # a terminal; when it is gone, no isatty says so
            os.dup2(nowhere, stream)


def _list_heeded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN)
