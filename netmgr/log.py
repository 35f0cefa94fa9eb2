"""Logging of the processes: one JSON line per record on stderr, through the stdlib loggers of each module."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime

import msgspec


class JsonLines(logging.Formatter):
    """`{"event": "...", "level": "info", "logger": "...", "timestamp": "..."}`, with `exception` where there was one."""

    def __init__(self) -> None:
        super().__init__()
        self._encode = msgspec.json.Encoder().encode

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end."""
        line = {
            "event": record.getMessage().encode(errors="backslashreplace").decode(),  # no lone surrogates in JSON
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": f"{datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z",
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._encode(line).decode()


def configure(level: int = logging.INFO) -> None:
    """Send all records to stderr as JSON; call once, at the start of a process."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
