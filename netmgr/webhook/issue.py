"""`python -m netmgr.webhook.issue`: one look at the webhook's certificates, in a process that ends and gives its memory back.

I/O: reads JSON (`names`, and `held` as the Secret's data) from stdin and writes JSON (`held`, `lookAgain`) to stdout.
"""

from __future__ import annotations

import base64
import sys
from datetime import UTC, datetime

import msgspec

from netmgr.webhook.certificates import Held, renewed

FIELDS = {"bundle": "ca.crt", "authority_key": "ca.key", "certificate": "tls.crt", "key": "tls.key"}
"""Parts of what is held, and their keys in the Secret."""


class Order(msgspec.Struct):
    """What the keeper asks for."""

    names: list[str]
    held: dict[str, str]


def held_of(data: dict[str, str]) -> Held | None:
    """The Secret's data; nothing where a part is missing or no base64."""
    try:
        return Held(**{field: base64.b64decode(data[key], validate=True) for field, key in FIELDS.items()})
    except (KeyError, ValueError):
        return None


def main() -> None:
    """Answer the one order on stdin."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    held, again = renewed(held_of(order.held), order.names, datetime.now(UTC))
    data = {key: base64.b64encode(getattr(held, field)).decode() for field, key in FIELDS.items()}
    sys.stdout.buffer.write(msgspec.json.encode({"held": data, "lookAgain": again}))


if __name__ == "__main__":
    main()
