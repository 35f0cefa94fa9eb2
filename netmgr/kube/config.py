"""I/O: how to reach the API server, with which credentials.

Reads a kubeconfig (https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/) or the Pod's own service account, and
gives an `ApiAccess` with server, TLS context and a token that is read again in time.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from netmgr.kube.errors import ConfigurationError
from netmgr.kube.exec_plugin import run_exec_plugin

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_SECONDS = 60.0
"""A bound token is rotated by the kubelet at 80 % of its life (at least ten minutes): reading once a minute is enough."""

TokenSource = Callable[[], tuple[str, float]]
"""Gives a token and for how many seconds it may be used without asking again."""


class ApiAccess:
    """One API server and the credentials for it. `token()` may read a file or run a program when `token_is_stale()`."""

    def __init__(
        self,
        server: str,
        *,
        ca: bytes = b"",
        certificate: bytes = b"",
        key: bytes = b"",
        token_source: TokenSource | None = None,
        insecure: bool = False,
        tls_server_name: str = "",
    ) -> None:
        self.server = server.rstrip("/")
        self.tls_server_name = tls_server_name
        self._ca, self._certificate, self._key, self._insecure = ca, certificate, key, insecure
        self._source = token_source
        self._token, self._good_until = "", 0.0

    def ssl_context(self) -> ssl.SSLContext | bool:
        """The TLS context; True (aiohttp's default) for a plain HTTP server."""
        if not self.server.startswith("https://"):
            return True
        context = ssl.create_default_context(cadata=self._ca.decode() if self._ca else None)
        if self._insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self._certificate:
            with tempfile.TemporaryDirectory(prefix="netmgr-tls-") as folder:
                pair = Path(folder, "certificate.pem"), Path(folder, "key.pem")
                pair[0].write_bytes(self._certificate)
                pair[1].touch(mode=0o600)
                pair[1].write_bytes(self._key)
                context.load_cert_chain(*pair)
        return context

    def token_is_stale(self) -> bool:
        """Whether `token()` would have to ask its source."""
        return self._source is not None and time.monotonic() >= self._good_until

    def token(self) -> str:
        """The bearer token, empty where a client certificate is used."""
        if self._source is not None and self.token_is_stale():
            self._token, seconds = self._source()
            self._good_until = time.monotonic() + seconds
        return self._token

    def forget_token(self) -> bool:
        """After a 401: ask the source again at the next call; False where there is nothing to ask."""
        self._good_until = 0.0
        return self._source is not None


def load(kubeconfig: Path | None) -> ApiAccess:
    """From the given kubeconfig; without one the Pod's service account, then $KUBECONFIG, then ~/.kube/config."""
    if kubeconfig is not None:
        return _from_kubeconfig(kubeconfig)
    if (ACCOUNT / "token").exists() and "KUBERNETES_SERVICE_HOST" in os.environ:
        return _in_cluster()
    first = next((Path(part) for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part), None)
    return _from_kubeconfig(first or Path.home() / ".kube" / "config")


def _in_cluster() -> ApiAccess:
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    shown = f"[{host}]" if ":" in host else host
    return ApiAccess(f"https://{shown}:{port}", ca=(ACCOUNT / "ca.crt").read_bytes(), token_source=_token_file(ACCOUNT / "token"))


def _token_file(path: Path) -> TokenSource:
    return lambda: (path.read_text().strip(), TOKEN_SECONDS)


def _from_kubeconfig(path: Path) -> ApiAccess:
    import yaml  # a process in a cluster has no kubeconfig

    try:
        parsed = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigurationError(
            f"kubeconfig {path}: {error.strerror}; give a readable file with --kubeconfig, or run in a cluster"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"kubeconfig {path}: not YAML ({error}); write it again with kubectl config") from error
    if not isinstance(parsed, dict):
        raise ConfigurationError(f"kubeconfig {path}: holds no mapping; write it again with kubectl config")
    context = _entry(path, parsed, "contexts", "context", parsed.get("current-context"))
    cluster = _entry(path, parsed, "clusters", "cluster", context.get("cluster"))
    user = _entry(path, parsed, "users", "user", context.get("user"))
    server = cluster.get("server")
    if not isinstance(server, str) or not server:
        raise ConfigurationError(f"kubeconfig {path}: cluster {context.get('cluster')} names no server; set `server:`")
    return ApiAccess(
        server,
        ca=_bytes(path, cluster, "certificate-authority"),
        certificate=_bytes(path, user, "client-certificate"),
        key=_bytes(path, user, "client-key"),
        token_source=_token_source(path, user),
        insecure=bool(cluster.get("insecure-skip-tls-verify", False)),
        tls_server_name=str(cluster.get("tls-server-name", "")),
    )


def _entry(path: Path, parsed: dict[str, Any], section: str, kind: str, name: object) -> dict[str, Any]:
    """The named entry of a section; a kubeconfig keeps its entries in lists of {name, <kind>}."""
    for entry in parsed.get(section) or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return dict(entry.get(kind) or {})
    raise ConfigurationError(f"kubeconfig {path}: {section} has no entry named {name!r}; check current-context")


def _bytes(path: Path, entry: dict[str, Any], key: str) -> bytes:
    """A PEM: inline (`<key>-data`, base64) before a file (`<key>`, relative to the kubeconfig's folder)."""
    inline = entry.get(f"{key}-data")
    try:
        if inline:
            return base64.b64decode(inline, validate=True)
        return (path.parent / entry[key]).read_bytes() if entry.get(key) else b""
    except (OSError, binascii.Error) as error:
        raise ConfigurationError(f"kubeconfig {path}: {key} is unreadable ({error}); repair or remove it") from error


def _token_source(path: Path, user: dict[str, Any]) -> TokenSource | None:
    if user.get("token"):
        token = str(user["token"])
        return lambda: (token, TOKEN_SECONDS)
    if user.get("tokenFile"):
        return _token_file(path.parent / str(user["tokenFile"]))
    if user.get("exec"):
        plugin = dict(user["exec"])
        return lambda: run_exec_plugin(plugin, path.parent)
    return None
