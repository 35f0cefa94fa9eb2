"""The networks that Multus attaches Pods to, as far as their addresses are ours.

I/O: a reflector of a kind that may not be installed. Everything else is `ipam.networks`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ipam.errors import AnnotationError
from ipam.networks import Attachment, parse_attachment
from netmgr.api.network import NETWORKS, NetworkAttachmentDefinition
from netmgr.kube.client import Api
from netmgr.kube.reflector import Reflector
from netmgr.kube.store import EventKind, key_of

log = logging.getLogger(__name__)


class Networks:
    """`attachments` by `namespace/name`; `problems` of those that cannot be understood. `changed` is told the reference."""

    def __init__(self, api: Api, changed: Callable[[str], None]) -> None:
        self.attachments: dict[str, Attachment] = {}
        self.problems: dict[str, str] = {}
        self._changed = changed
        self.reflector = Reflector(api, NETWORKS, NetworkAttachmentDefinition, on_event=self._event, optional=True)

    def _event(self, kind: EventKind, one: NetworkAttachmentDefinition, _old: NetworkAttachmentDefinition | None) -> None:
        reference = key_of(one.metadata)
        self.attachments.pop(reference, None)
        self.problems.pop(reference, None)
        if kind is not EventKind.DELETED:
            try:
                self.attachments[reference] = parse_attachment(reference, one.spec.config)
            except AnnotationError as error:
                self.problems[reference] = str(error)
                log.warning("network_unreadable network=%s error=%s", reference, error)
        self._changed(reference)
