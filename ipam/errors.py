"""Errors of the ipam room.

IpamError                 root; the message says object, value, rule and remedy
├── AddressError          text is not an address, a range or a prefix of the expected form
└── AnnotationError       an annotation's value cannot be understood
"""

from __future__ import annotations

LONGEST_QUOTE = 120


def quoted(text: object) -> str:
    """What a user wrote, quoted, and cut: an annotation may be 256 KiB, an Event's message 1,024 characters."""
    shown = repr(text)
    return shown if len(shown) <= LONGEST_QUOTE else f"{shown[:LONGEST_QUOTE]}... ({len(shown)} characters)"


class IpamError(Exception):
    """Root of what this room raises."""


class AddressError(IpamError):
    """Text that is not an address, a range or a prefix, or one of the wrong family."""


class AnnotationError(IpamError):
    """An annotation that cannot be understood: the user has to change it, retrying does not help."""

    def __init__(self, key: str, value: str, rule: str, remedy: str) -> None:
        """`key` and `value` as the user wrote them; `rule` what is broken; `remedy` what to write instead."""
        super().__init__(f"annotation {key}: {quoted(value)} {rule}; {remedy}")
        self.key, self.value, self.rule, self.remedy = key, value, rule, remedy
