"""I/O: runs a kubeconfig's credential program (client.authentication.k8s.io/v1) and reads the token it prints."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from netmgr.kube.errors import ConfigurationError

SECONDS = 60.0
"""How long a token without `expirationTimestamp` is used."""


def run_exec_plugin(plugin: dict[str, Any], folder: Path) -> tuple[str, float]:
    """The token and the seconds it may be used; ConfigurationError says what the program printed instead."""
    command = str(plugin.get("command", ""))
    if "/" in command:
        command = str(folder / command)
    asked = {"apiVersion": plugin.get("apiVersion"), "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = os.environ | {"KUBERNETES_EXEC_INFO": json.dumps(asked)}
    environment |= {str(pair["name"]): str(pair["value"]) for pair in plugin.get("env") or []}
    argv = [command, *map(str, plugin.get("args") or [])]
    try:
        done = subprocess.run(argv, env=environment, capture_output=True, check=True, timeout=30, text=True)
        status = json.loads(done.stdout)["status"]
        return str(status["token"]), _seconds(status.get("expirationTimestamp"))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"kubeconfig's exec program {command!r} gave no token ({error}); run it by hand and repair it"
        ) from error


def _seconds(expiry: str | None) -> float:
    """Seconds until ten seconds before the expiry, and at least one."""
    if not expiry:
        return SECONDS
    return max(1.0, (datetime.fromisoformat(expiry) - datetime.now(UTC)).total_seconds() - 10.0)
