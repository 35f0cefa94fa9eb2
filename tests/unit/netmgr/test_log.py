from __future__ import annotations

import logging
import sys

import msgspec

from netmgr.log import JsonLines


def record(message: str, *values: object, failed: bool = False) -> logging.LogRecord:
    return logging.LogRecord("netmgr.agent", logging.WARNING, "file", 1, message, values, sys.exc_info() if failed else None)


def test_a_record_is_one_line_of_json_whatever_its_values_hold() -> None:
    line = JsonLines().format(record("stray address=%s", 'a"\n\udc80'))

    assert "\n" not in line
    assert msgspec.json.decode(line, type=dict)["event"] == 'stray address=a"\n\\udc80'


def test_a_record_says_when_who_and_how_bad() -> None:
    line = msgspec.json.decode(JsonLines().format(record("ready")), type=dict)

    assert (line["level"], line["logger"], line["timestamp"][-1]) == ("warning", "netmgr.agent", "Z")


def test_an_exception_is_in_its_record() -> None:
    try:
        raise ValueError("seven")
    except ValueError:
        line = JsonLines().format(record("failed", failed=True))

    assert "ValueError: seven" in msgspec.json.decode(line, type=dict)["exception"]
