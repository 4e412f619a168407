"""Warnings that say each thing once in a while, not thirty times a second."""

from __future__ import annotations

import re
import time

from rclpy.impl.rcutils_logger import RcutilsLogger


class QuietLog:
    """A warning that differs from an earlier one only in its numbers is repeated after `every` seconds."""

    def __init__(self, logger: RcutilsLogger, every: float = 5.0) -> None:
        self._logger = logger
        self._every = every
        self._last: dict[str, float] = {}

    def warn(self, text: str) -> None:
        kind, now = re.sub(r"[\d.]+", "#", text), time.monotonic()
        self._last = {k: t for k, t in self._last.items() if now - t < self._every}
        if kind not in self._last:
            self._last[kind] = now
            self._logger.warning(text)
