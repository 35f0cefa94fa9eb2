"""Errors of the ipam room.

IpamError                 root; the message says object, value, rule and remedy
├── AddressError          text is not an address, a range or a prefix of the expected form
└── AnnotationError       an annotation's value cannot be understood
"""

from __future__ import annotations


class IpamError(Exception):
    """Root of what this room raises."""


class AddressError(IpamError):
    """Text that is not an address, a range or a prefix, or one of the wrong family."""


class AnnotationError(IpamError):
    """An annotation that cannot be understood: the user has to change it, retrying does not help."""

    def __init__(self, key: str, value: str, rule: str, remedy: str) -> None:
        """`key` and `value` as the user wrote them; `rule` what is broken; `remedy` what to write instead."""
        super().__init__(f"annotation {key}: {value!r} {rule}; {remedy}")
        self.key = key
