"""An application: the top of a Pod's verified owner chain, and the names derived from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from ipam.prefix import AddressFamily

LONGEST_NAME = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Identity of a workload; `group_version` as `apps/v1`."""

    group_version: str
    kind: str
    namespace: str
    name: str
    uid: str

    @property
    def kind_key(self) -> tuple[str, str]:
        """What identifies the kind: the same word in two groups is two kinds."""
        return (self.group_version, self.kind)

    @property
    def book_key(self) -> str:
        """Entry of a subnet's book: `apps_v1_Deployment_default_nginx`."""
        return "_".join((self.group_version.replace("/", "_"), self.kind, self.namespace, self.name))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def auto_pool_name(application: Application, family: AddressFamily, interface: str, subnet: str = "") -> str:
    """`auto-<application>-v<4|6>-<interface>-<last group of the UID>`, the application cut to keep to 253 characters.

    With a subnet, seven hexadecimal digits of a hash of it and the whole UID follow: where the plain name is taken, by the pool
    that the application moves from, or by another application whose UID ends alike.
    """
    last_group = application.uid.rpartition("-")[2]
    moved = f"-{sha256(f'{application.uid}/{subnet}'.encode()).hexdigest()[:7]}" if subnet else ""
    tail = f"-v{family.number}-{re.sub('[^a-z0-9]', '-', interface.lower())}-{last_group}{moved}"
    room = LONGEST_NAME - len("auto-") - len(tail)
    return "auto-" + application.name[:room].rstrip("-.") + tail
