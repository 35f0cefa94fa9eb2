"""Keeps the webhook's certificates in their Secret, and the authorities in the webhook configurations. The leader runs it.

I/O: a child process makes what is due; guarded writes to one Secret and two configurations, all named.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from netmgr.api.meta import Json, Meta, PartialObject
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError, NotFound

log = logging.getLogger(__name__)
NAME = "netmgr-webhook"
CONFIGURATIONS = {
    paths.named(paths.MUTATING_WEBHOOKS, NAME): "MutatingWebhookConfiguration",
    paths.named(paths.VALIDATING_WEBHOOKS, NAME): "ValidatingWebhookConfiguration",
}
LOOK_AGAIN = "netmgr.io/look-again"
MANAGER = "netmgr-controller"
PERIOD, RETRY = 60.0, 5.0
"""Seconds between two looks, and after a failure."""


class Secret(msgspec.Struct, frozen=True):
    """core/v1 Secret; values are base64."""

    metadata: Meta
    data: dict[str, str] | None = None


class ClientConfig(msgspec.Struct, frozen=True, rename="camel"):
    """Whom the API server trusts at the webhook's end."""

    ca_bundle: str | None = None


class Hook(msgspec.Struct, frozen=True, rename="camel"):
    """One webhook of a configuration."""

    name: str
    client_config: ClientConfig = ClientConfig()


class Configuration(msgspec.Struct, frozen=True):
    """A Mutating- or ValidatingWebhookConfiguration."""

    metadata: Meta
    webhooks: list[Hook] | None = None


class Issued(msgspec.Struct, frozen=True, rename="camel"):
    """The child's answer."""

    held: dict[str, str]
    look_again: datetime


Issue = Callable[[list[str], dict[str, str]], Awaitable[Issued]]


class Keeper:
    """Looks at Secret and configurations once a minute, and sooner where something is due or `changed` is set."""

    def __init__(self, api: Api, namespace: str, changed: asyncio.Event) -> None:
        self.api, self.changed, self.names = api, changed, [f"{NAME}.{namespace}.svc", f"{NAME}.{namespace}.svc.cluster.local"]
        self.path = paths.named(paths.SECRETS, NAME, namespace=namespace)

    async def run(self) -> None:
        """Never returns; cancel the task to end it."""
        while True:
            self.changed.clear()
            try:
                pause = await self.keep()
            except NotFound:
                log.warning("webhook_secret_missing path=%s remedy=run `netmgr install` again", self.path)
                pause = PERIOD
            except (ApiError, IssueError) as error:
                log.warning("webhook_certificates_not_kept error=%s", error)
                pause = RETRY
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.changed.wait()

    async def keep(self) -> float:
        """One look; seconds until the next."""
        secret = await self.api.get(self.path, Secret)
        data, again = secret.data or {}, look_again_of(secret)
        if again is None or again <= datetime.now(UTC):
            issued = await issue(self.names, data)
            data, again = issued.held, issued.look_again
            await self._write(secret, issued)
        for path, kind in CONFIGURATIONS.items():
            await self._publish(path, kind, data["ca.crt"])
        return max(0.1, min(PERIOD, (again - datetime.now(UTC)).total_seconds()))

    async def _write(self, secret: Secret, issued: Issued) -> None:
        meta = {"uid": secret.metadata.uid, "resourceVersion": secret.metadata.resource_version}
        notes = {LOOK_AGAIN: issued.look_again.isoformat()}
        await self.api.merge_patch(self.path, {"metadata": {**meta, "annotations": notes}, "data": issued.held}, PartialObject)
        log.info("webhook_certificates_written look_again=%s", notes[LOOK_AGAIN])

    async def _publish(self, path: str, kind: str, bundle: str) -> None:
        """Set what the API server trusts, where it differs. A configuration that nobody installed is left out."""
        try:
            found = await self.api.get(path, Configuration)
        except NotFound:
            return
        stale = [one.name for one in found.webhooks or () if one.client_config.ca_bundle != bundle]
        if not stale:
            return
        hooks = [{"name": one.name, "clientConfig": {"caBundle": bundle}} for one in found.webhooks or ()]
        body: Json = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": NAME}, "webhooks": hooks}
        body["metadata"]["uid"] = found.metadata.uid
        await self.api.apply(path, body, MANAGER, PartialObject, force=True)
        log.info("webhook_authority_published kind=%s webhooks=%s", kind, ",".join(stale))


class IssueError(Exception):
    """The child process that makes certificates failed; the message holds its words."""


def look_again_of(secret: Secret) -> datetime | None:
    """When the certificates are to be looked at; nothing where a part is missing, so: now."""
    if not {"ca.crt", "ca.key", "tls.crt", "tls.key"} <= (secret.data or {}).keys():
        return None
    try:
        found = datetime.fromisoformat((secret.metadata.annotations or {}).get(LOOK_AGAIN, ""))
    except ValueError:
        return None
    return found if found.tzinfo else None


async def issue(names: list[str], held: dict[str, str]) -> Issued:
    """Have a child process look at the certificates."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "netmgr.webhook.issue", stdin=pipe, stdout=pipe, stderr=pipe)
    out, words = await child.communicate(msgspec.json.encode({"names": names, "held": held}))
    if child.returncode:
        raise IssueError(f"netmgr.webhook.issue ended with {child.returncode}: {words.decode(errors='replace')[-500:]}")
    return msgspec.json.decode(out, type=Issued)
