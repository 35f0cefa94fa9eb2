"""A real API server for tests: etcd and kube-apiserver as processes on loopback, RBAC on, netmgr's CRDs applied.

There is no scheduler, no controller manager and no node: tests write what those would. Every request is in an audit log,
so that a test can count what a client asked for.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import msgspec
import yaml

from netmgr.api.definitions import definitions
from netmgr.api.meta import Condition, Json, PartialObject
from netmgr.kube.client import Api
from netmgr.kube.config import load
from netmgr.kube.errors import ApiError
from netmgr.kube.paths import CRDS, NAMESPACES, named
from tests.integration.certificates import Authority, key_pem, private_key, public_pem

HOST = "127.0.0.1"
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


def kube_binary() -> Path:
    """The multi-call Kubernetes and etcd binary: $NETMGR_KUBE, or the one that the lab builds."""
    given = os.environ.get("NETMGR_KUBE")
    return Path(given) if given else Path(import_module("topology.kubernetes").binary())


def free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class _DefinitionStatus(msgspec.Struct, frozen=True):
    conditions: list[Condition] | None = None


class _Definition(msgspec.Struct, frozen=True):
    status: _DefinitionStatus = _DefinitionStatus()


class ApiServer:
    """One control plane in `folder`. `kubeconfig` is the administrator's; `kubeconfig_of` makes others.

    Without `audit` no request is logged: for measurements, since the log costs the server a write for each one.
    """

    def __init__(self, folder: Path, *, audit: bool = True) -> None:
        self.folder = folder
        self._audit = audit
        self.url = f"https://{HOST}:{free_port()}"
        self.kubeconfig = folder / "admin.kubeconfig"
        self._binary = kube_binary()
        self._authority = Authority()
        self._etcd_url = f"http://{HOST}:{free_port()}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start both processes, wait until ready, apply the CRDs."""
        self._write_files()
        peer = f"http://{HOST}:{free_port()}"
        self._run("etcd", f"--data-dir={self.folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=error", "--name=test",
                  f"--listen-client-urls={self._etcd_url}", f"--advertise-client-urls={self._etcd_url}",
                  f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
                  f"--initial-cluster=test={peer}")  # fmt: skip
        self.start_server()
        asyncio.run(self._apply_definitions())

    def start_server(self) -> None:
        """Start kube-apiserver (again) and wait until it is ready."""
        files = self.folder
        self._run("kube-apiserver", f"--etcd-servers={self._etcd_url}", f"--bind-address={HOST}", f"--advertise-address={HOST}",
                  f"--secure-port={self.url.rpartition(':')[2]}", "--authorization-mode=Node,RBAC",
                  "--enable-admission-plugins=NodeRestriction", "--disable-admission-plugins=ServiceAccount",
                  f"--client-ca-file={files / 'ca.crt'}", f"--cert-dir={files / 'certs'}",
                  f"--tls-cert-file={files / 'server.crt'}", f"--tls-private-key-file={files / 'server.key'}",
                  "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={files / 'sa.pub'}",
                  f"--service-account-signing-key-file={files / 'sa.key'}", "--service-cluster-ip-range=10.96.0.0/16",
                  "--profiling=false", "--shutdown-delay-duration=0s", "--endpoint-reconciler-type=none", "--watch-cache=true",
                  *self._audit_flags())  # fmt: skip
        asyncio.run(self._wait_ready(60.0))

    def _audit_flags(self) -> list[str]:
        if not self._audit:
            return []
        policy, log = self.folder / "audit.yaml", self.folder / "audit.log"
        return [f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-mode=blocking"]

    def kill_server(self) -> None:
        """Kill -9 kube-apiserver; etcd and its data stay."""
        self._kill("kube-apiserver")

    def stop(self) -> None:
        for name in list(self._processes):
            self._kill(name)

    def kubeconfig_of(self, user: str, groups: tuple[str, ...] = ()) -> Path:
        """A kubeconfig with a client certificate of that user; what it may do, RBAC says."""
        certificate, key = self._authority.client(user, groups)
        stem = self.folder / user.replace(":", "_")
        stem.with_suffix(".crt").write_bytes(certificate)
        stem.with_suffix(".key").write_bytes(key)
        pair = {"client-certificate": str(stem.with_suffix(".crt")), "client-key": str(stem.with_suffix(".key"))}
        return self.kubeconfig_with(user, pair)

    def kubeconfig_with(self, name: str, credentials: Json) -> Path:
        """A kubeconfig with the `user` entry given, such as `{"token": ...}`."""
        path = self.folder / f"{name.replace(':', '_')}.kubeconfig"
        path.write_text(yaml.safe_dump(self._kubeconfig(credentials)))
        return path

    def pids(self) -> dict[str, int]:
        """Process ids of kube-apiserver and etcd."""
        return {name: process.pid for name, process in self._processes.items()}

    def kubectl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run the real kubectl as the administrator."""
        argv = [str(self._binary), "kubectl", f"--kubeconfig={self.kubeconfig}", *arguments]
        environment = os.environ | {"HOME": str(self.folder)}
        return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False, timeout=60, env=environment)

    def request_counts(self, user_agent: str = "") -> Counter[tuple[str, str]]:
        """Requests so far by (verb, resource or resource/subresource), of clients whose user agent begins like that."""
        seen: dict[str, tuple[str, str]] = {}
        for event in self._audit_events():
            about = event.get("objectRef") or {}
            parts = (about.get("resource", event["requestURI"]), about.get("subresource", ""))
            if event.get("userAgent", "").startswith(user_agent):
                seen[event["auditID"]] = (event["verb"], "/".join(part for part in parts if part))
        return Counter(seen.values())

    def _audit_events(self) -> Iterator[Json]:
        """Events of the log; a server that was killed in the middle of a line has left one that is none."""
        for line in (self.folder / "audit.log").read_text().splitlines():
            with suppress(json.JSONDecodeError):
                yield json.loads(line)

    def _write_files(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        certificate, key = self._authority.server(HOST)
        account = private_key()
        contents = {
            "ca.crt": self._authority.pem,
            "server.crt": certificate,
            "server.key": key,
            "sa.key": key_pem(account),
            "sa.pub": public_pem(account),
            "audit.yaml": AUDIT_POLICY.encode(),
        }
        for name, content in contents.items():
            (self.folder / name).write_bytes(content)
        self.kubeconfig_of("admin", ("system:masters",))

    def _kubeconfig(self, credentials: Json) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {"server": self.url, "certificate-authority": str(self.folder / "ca.crt")}}],
            "users": [{"name": "test", "user": credentials}],
        }

    def _run(self, name: str, *flags: str) -> None:
        """Start a program of the binary; it dies with this process, whatever happens."""
        argv = ["setpriv", "--pdeathsig", "KILL", str(self._binary), name, *flags]
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(argv, stdout=log, stderr=log, cwd=self.folder)

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    async def _wait_ready(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        async with Api(load(self.kubeconfig), user_agent="fixture", timeout=5.0) as api:
            while True:
                try:
                    await api.list(NAMESPACES, PartialObject)
                    await api.get(named(NAMESPACES, "default"), PartialObject)
                except ApiError as error:
                    last = error
                else:
                    return
                process = self._processes["kube-apiserver"]
                if process.poll() is not None or time.monotonic() > deadline:
                    tail = (self.folder / "kube-apiserver.log").read_text()[-2000:]
                    raise AssertionError(f"API server not ready, exit code {process.poll()}, last {last}: {tail}")
                await asyncio.sleep(0.1)

    async def _apply_definitions(self) -> None:
        async with Api(load(self.kubeconfig), user_agent="fixture") as api:
            for definition in definitions():
                path = named(CRDS, definition["metadata"]["name"])
                await api.apply(path, definition, "fixture", PartialObject)
            async with asyncio.timeout(30):
                for definition in definitions():
                    while not await self._served(api, definition):  # noqa: ASYNC110 - the server changes it
                        await asyncio.sleep(0.05)

    @staticmethod
    async def _served(api: Api, definition: Json) -> bool:
        found = await api.get(named(CRDS, definition["metadata"]["name"]), _Definition)
        if not any(one.type == "Established" and one.status == "True" for one in found.status.conditions or ()):
            return False
        spec = definition["spec"]
        try:
            await api.list(f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}", PartialObject)
        except ApiError:
            return False
        return True
