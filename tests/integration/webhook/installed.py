"""What the installer puts into a cluster, on a test API server: accounts, policies, webhook; the controller under its own account.

The webhook is reached on loopback by `clientConfig.url`; all else is as `netmgr install` applies it.
"""

from __future__ import annotations

import asyncio
import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from netmgr.api import spider
from netmgr.api.meta import Json, PartialObject
from netmgr.api.spider import SpiderIPPool
from netmgr.install.objects import Settings, labelled, objects, path_of
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.config import ApiAccess, load
from netmgr.kube.errors import Forbidden, NotFound
from netmgr.webhook.keeping import CONFIGURATIONS, Configuration
from tests.integration.apiserver import ApiServer, free_port
from tests.integration.controller.cluster import Cluster
from tests.waiting import eventually

SETTINGS = Settings()
ACCOUNT = f"system:serviceaccount:{SETTINGS.namespace}:netmgr-controller"
GROUPS = ("system:serviceaccounts", f"system:serviceaccounts:{SETTINGS.namespace}", "system:authenticated")
WORKLOADS = frozenset({"Deployment", "DaemonSet", "PodDisruptionBudget", "Service"})


class Installed(Cluster):
    """A cluster with netmgr's objects in it; `manager` is an administrator by RBAC who is not in system:masters."""

    def __init__(self, server: ApiServer, namespace: str, folder: Path) -> None:
        super().__init__(server, namespace, folder)
        self.leases = SETTINGS.namespace
        self.port = free_port()
        self.mine = [self._on_loopback(one) for one in objects(SETTINGS) if one["kind"] not in WORKLOADS]

    def install(self) -> None:
        async def apply(api: Api) -> None:
            for one in self.mine:
                await api.apply(path_of(one), one, "netmgr-install", PartialObject, force=True)

        self.call(apply)
        eventually(self.policies_hold, bool, within=20, what="the API server follows the policies")

    def policies_hold(self) -> bool:
        """Whether the API server has taken notice of the policies: an agent without a node gets no Lease."""
        lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "netmgr-agent-probe"}}
        path = paths.named(paths.LEASES, "netmgr-agent-probe", namespace=SETTINGS.namespace)
        user = f"system:serviceaccount:{SETTINGS.namespace}:netmgr-agent"
        try:
            self.as_user(user, GROUPS, lambda api: api.apply(path, lease, "test", PartialObject, dry_run=True))
        except Forbidden as error:
            return "is bound to node (none)" in error.message
        return False

    def uninstall(self) -> None:
        async def remove(api: Api) -> None:
            leases = paths.in_namespace(paths.LEASES, SETTINGS.namespace)
            for lease in await api.list(leases, PartialObject):
                await api.delete(f"{leases}/{lease.metadata.name}")
            for one in reversed(self.mine):
                if one["kind"] != "Namespace":
                    try:
                        await api.delete(path_of(one))
                    except NotFound:
                        continue

        self.call(remove)

    def end_pods(self) -> None:
        """Pods of this test: the agent's Lease is the next one's too, so they would get addresses of its pools."""

        async def remove(api: Api) -> None:
            for collection in (paths.DEPLOYMENTS, paths.REPLICA_SETS, paths.PODS):
                for one in await api.list(self.here(collection), PartialObject):
                    path = paths.named(collection, one.metadata.name, namespace=self.namespace)
                    await api.delete(path, options={"gracePeriodSeconds": 0})

        self.call(remove)

    def _on_loopback(self, one: Json) -> Json:
        found = copy.deepcopy(one)
        for hook in found.get("webhooks", []):
            where = hook["clientConfig"].pop("service")
            hook["clientConfig"]["url"] = f"https://127.0.0.1:{self.port}{where['path']}"
        return labelled(found)

    @contextmanager
    def replica(self, identity: str = "one") -> Iterator[subprocess.Popen[bytes]]:
        """A controller with a webhook, under its own account and its own rights."""
        log = self.folder / f"controller-{identity}.log"
        argv = [str(Path(sys.executable).parent / "netmgr"), "controller", f"--webhook-port={self.port}", "--identity", identity]
        argv += ["--kubeconfig", str(self.server.kubeconfig_of(ACCOUNT, GROUPS)), "--namespace", SETTINGS.namespace]
        with log.open("ab") as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out)
        try:
            eventually(lambda: self.log(identity), lambda text: "webhook_serving" in text, within=30, what="a webhook")
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(20)

    @contextmanager
    def asked(self) -> Iterator[subprocess.Popen[bytes]]:
        """One replica, whom the API server trusts."""
        with self.replica() as process:
            self.trusted()
            eventually(self.asks, bool, within=10, what="the API server asks the webhook")
            yield process

    def asks(self) -> bool:
        """Whether the API server has taken notice of both configurations: it looks at its own copies of them."""

        async def probe(api: Api) -> bool:
            one: Json = {"apiVersion": spider.GROUP_VERSION, "kind": "SpiderIPPool", "metadata": {"name": "probe"}}
            path, spec = paths.named(spider.POOLS, "probe"), {"subnet": "10.255.0.0/16"}
            made = await api.apply(path, {**one, "spec": spec}, "test", SpiderIPPool, dry_run=True)
            backwards = {**one, "spec": {**spec, "ips": ["10.255.0.9-10.255.0.1"]}}
            try:
                await api.apply(path, backwards, "test", SpiderIPPool, dry_run=True)
            except Forbidden:
                return bool(made.metadata.labels)
            return False

        found: bool = self.call(probe)
        return found

    def trusted(self) -> list[str]:
        """The authority in each webhook, once it is in all of them."""

        def bundles() -> list[str]:
            found: list[Configuration] = [self.read(path, Configuration) for path in CONFIGURATIONS]
            return [hook.client_config.ca_bundle or "" for one in found for hook in one.webhooks or ()]

        return eventually(bundles, all, within=20, what="caBundle in every webhook")

    def log(self, identity: str = "one") -> str:
        return (self.folder / f"controller-{identity}.log").read_text()

    def read(self, path: str, type_: Any) -> Any:
        return self.call(lambda api: api.get(path, type_))

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        """What kubectl prints, warnings and refusals included."""
        done = self.server.kubectl(*arguments, stdin=stdin)
        return done.stdout + done.stderr

    def apply(self, manifest: Json) -> str:
        """`kubectl apply`: what it prints."""
        return self.kubectl("apply", "-n", self.namespace, "-f", "-", stdin=json.dumps(manifest))

    def with_token(self, token: str, act: Any) -> Any:
        """One call as the bearer of a token."""
        access = ApiAccess(self.server.url, ca=(self.server.folder / "ca.crt").read_bytes(), token_source=lambda: (token, 60.0))

        async def once() -> Any:
            async with Api(access, user_agent="test") as api:
                return await act(api)

        return asyncio.run(once())

    def as_user(self, user: str, groups: tuple[str, ...], act: Any) -> Any:
        """One call as the owner of a client certificate."""

        async def once() -> Any:
            async with Api(load(self.server.kubeconfig_of(user, groups)), user_agent="test") as api:
                return await act(api)

        return asyncio.run(once())


def secret_path() -> str:
    return paths.named(paths.SECRETS, "netmgr-webhook", namespace=SETTINGS.namespace)
