"""What can go wrong in this room.

LabError
├── TopologyError   a topology file breaks a rule; the message starts with file:line and names the key
├── NodeError       a node of a lab did not start, or a command of its set-up failed
├── ImageError      an OCI image could not be made from what is installed
└── NotUpError      something was asked of a lab that is not running
"""

from __future__ import annotations


class LabError(Exception):
    """Anything this room refuses or cannot do."""


class TopologyError(LabError):
    """A topology file breaks a rule."""


class NodeError(LabError):
    """A node did not start."""


class ImageError(LabError):
    """An image could not be made."""


class NotUpError(LabError):
    """The lab, or this node of it, is not running."""
