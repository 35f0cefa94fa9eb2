"""What CNI calls can end in; codes are those of the CNI specification, section "Error".

CniError (code, message, details)
  BadRequest     4  an environment variable is missing or malformed, or an unknown command
  BadConfig      7  the network configuration is malformed
  TryLater      11  nothing is wrong with the call, but it cannot be answered now: the runtime calls again
  NotReady      50  STATUS: ADD cannot be answered
  KernelRefused 100 the kernel's state forbids it, or netlink failed
  StateLost     101 CHECK: what an earlier ADD made is not there any more
"""
# ruff: noqa: N818 - class names are reasons, as everywhere in netmgr

from __future__ import annotations


class CniError(Exception):
    """Becomes the error answer of a CNI call: object, value, rule and remedy in the message."""

    code = 999

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details


class BadRequest(CniError):
    """The caller's environment is wrong: retrying does not help."""

    code = 4


class BadConfig(CniError):
    """The network configuration is wrong: the administrator must change it."""

    code = 7


class TryLater(CniError):
    """The answer is not there yet, or may be there at the next call."""

    code = 11


class NotReady(CniError):
    """STATUS while allocations are not known yet."""

    code = 50


class KernelRefused(CniError):
    """A route of somebody else, or a netlink error."""

    code = 100


class StateLost(CniError):
    """CHECK found something missing."""

    code = 101
