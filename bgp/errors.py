"""Errors of the bgp room.

BgpError              root; the message says object, value, rule and remedy
├── PolicyError       a neighbor or advertisement that cannot be rendered
└── EngineError       the routing daemon refused or did not answer; the last good configuration stays
"""

from __future__ import annotations


class BgpError(Exception):
    """Root of what this room raises."""


class PolicyError(BgpError):
    """What the user declared cannot act."""


class EngineError(BgpError):
    """The routing daemon did not do what it was told."""
