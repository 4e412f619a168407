"""How a program ends on Ctrl-C and SIGTERM without an error and without hanging."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence

import rclpy
from rclpy.signals import SignalHandlerOptions


def init(args: Sequence[str] | None) -> threading.Event:
    """`rclpy.init`; the event is set when it is time to end.

    rclpy's own handlers close the context at once: a message that is being published then fails, and now and then a
    wait that begins in the same moment never ends.
    """
    rclpy.init(args=list(args) if args is not None else None, signal_handler_options=SignalHandlerOptions.NO)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
