"""I/O: the HTTPS server that the API server asks. TLS only, and nothing but POST of an AdmissionReview.

Every replica serves. Two replicas on one machine share the port (SO_REUSEPORT): both are on the host's network. The certificate
is replaced in place when the Secret changes; connections that are open go on with the old one.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from aiohttp import web

from netmgr.controller.world import World
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.reflector import EventKind, Reflector
from netmgr.webhook.keeping import NAME, RETRY, Secret
from netmgr.webhook.objects import Objects
from netmgr.webhook.review import AdmissionRequest, AdmissionReview, Answer, response
from netmgr.webhook.workloads import Known, judge

log = logging.getLogger(__name__)
LARGEST_BODY = 8 * 1024 * 1024
"""Two objects of the API server's largest size, as JSON."""
Judge = Callable[[AdmissionRequest], Answer]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen."""

    address: str
    port: int


class Webhook:
    """Answers by the controller's copies; begins to listen once it has a certificate."""

    def __init__(self, api: Api, namespace: str, world: World, place: Place) -> None:
        self.place, self.objects = place, Objects(world)
        self.known = Known(
            subnet=lambda name: one.spec.subnet if (one := world.subnets.store.get(name)) else None,
            pool=lambda name: one.spec.subnet if (one := world.pools.store.get(name)) else None,
        )
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._certified, self.changed = asyncio.Event(), asyncio.Event()
        self._trouble = f"the webhook has no certificate yet: the leader writes it into Secret {namespace}/{NAME}"
        path, one = paths.in_namespace(paths.SECRETS, namespace), f"metadata.name={NAME}"
        self.secret: Reflector[Secret] = Reflector(api, path, Secret, field_selector=one, on_event=self._on_secret)

    def trouble(self) -> str:
        """Why it does not answer; empty: it does."""
        return self._trouble

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve in the background; the copies are synced by now."""
        tasks = [asyncio.create_task(self.secret.run()), asyncio.create_task(self._serve())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self) -> None:
        await self._certified.wait()
        runner = web.AppRunner(self._application(), access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        try:
            while not await self._listens(runner):  # noqa: ASYNC110 - another process has the port
                await asyncio.sleep(RETRY)
            self._trouble = ""
            log.info("webhook_serving address=%s port=%s", self.place.address, self.place.port)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def _listens(self, runner: web.AppRunner) -> bool:
        """False where the port is taken by somebody else: the replica stays unready, and tries again."""
        site = web.TCPSite(runner, self.place.address, self.place.port, ssl_context=self.tls, reuse_port=True)
        try:
            await site.start()
        except OSError as error:
            self._trouble = f"the webhook cannot listen on {self.place.address}:{self.place.port}: {error}"
            log.warning("webhook_cannot_listen address=%s port=%s error=%s", self.place.address, self.place.port, error)
            return False
        return True

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_post("/defaults", self._answers(self.objects.complete))
        application.router.add_post("/objects", self._answers(self.objects.judge))
        application.router.add_post("/workloads", self._answers(lambda request: judge(request, self.known)))
        return application

    def _answers(self, judge_one: Judge) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(http: web.Request) -> web.Response:
            try:
                review: AdmissionReview = msgspec.json.decode(await http.read(), type=AdmissionReview)
            except msgspec.MsgspecError as error:
                log.warning("webhook_unreadable error=%s", error)
                raise web.HTTPBadRequest(text=f"no AdmissionReview: {error}\n") from error
            given = judge_one(review.request)
            if given.refusals:
                log.info("refused object=%s operation=%s why=%s", review.request.title, review.request.operation, given.refusals[0])
            return web.Response(body=msgspec.json.encode(response(review.request, given)), content_type="application/json")

        return answer

    def _on_secret(self, kind: EventKind, secret: Secret, _old: Secret | None) -> None:
        """Serve with what the Secret holds now. One that is gone or unreadable changes nothing."""
        self.changed.set()
        data = secret.data or {}
        if kind is EventKind.DELETED or "tls.crt" not in data or "tls.key" not in data:
            return
        try:
            load_pair(self.tls, base64.b64decode(data["tls.crt"]) + base64.b64decode(data["tls.key"]))
        except (ssl.SSLError, ValueError, OSError) as error:
            log.warning("webhook_certificate_unusable error=%s", error)
            return
        self._certified.set()
        log.info("webhook_certificate_loaded resource_version=%s", secret.metadata.resource_version)


def load_pair(context: ssl.SSLContext, pem: bytes) -> None:
    """Give a context a certificate with its key. Python's ssl reads files only; this one is in memory and nowhere else."""
    descriptor = os.memfd_create("webhook", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
