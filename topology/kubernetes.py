"""The test cluster's programs: Kubernetes and etcd, compiled from Go modules as one, kept outside the clone.

I/O: runs `go build` at low priority on the first call, with a line of progress every ten seconds; later calls find the result by
the hash of its inputs (module files, source, Go's version, flags). Two processes that want it at once build it once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

SOURCE = Path(__file__).parent / "kube"
VERSION = "v1.35.4"
PACKAGE = "k8s.io/component-base/version"
STAMPS = {
    "gitVersion": VERSION,
    "gitMajor": "1",
    "gitMinor": "35",
    "gitTreeState": "clean",
    "gitCommit": "modules",
    "buildDate": "1970-01-01T00:00:00Z",
}
PROGRESS_SECONDS = 10


class BuildError(Exception):
    """The compilation failed; the message ends with the compiler's words."""


def cache() -> Path:
    """Where built things are kept: $NETMGR_CACHE, else ~/.cache/netmgr."""
    return Path(os.environ.get("NETMGR_CACHE") or Path.home() / ".cache" / "netmgr")


def build_command(result: Path) -> list[str]:
    """The compiler's command line."""
    stamps = " ".join(f"-X {PACKAGE}.{key}={value}" for key, value in STAMPS.items())
    return [
        "nice",
        "-n",
        "10",
        "go",
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        f"-s -w {stamps}",
        "-o",
        str(result),
        ".",
    ]


def key() -> str:
    """Hash of everything the result depends on."""
    compiler = subprocess.run(["go", "version"], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(compiler.encode())
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((SOURCE / name).read_bytes())
    digest.update(" ".join(build_command(Path("kube"))).encode())
    return digest.hexdigest()[:16]


def place() -> Path:
    """Where the program is or will be."""
    return cache() / "kube" / key() / "kube"


def binary() -> Path:
    """The program; compiled first if it is not there yet."""
    result = place()
    folder = result.parent
    if result.exists():
        return result
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not result.exists():
            compile_into(result)
    return result


def compile_into(result: Path) -> None:
    """Compile; the result appears whole or not at all."""
    partial = result.with_suffix(".partial")
    log = result.with_suffix(".log")
    began = time.monotonic()
    say("compiling Kubernetes and etcd (about six minutes on two idle cores, once)")
    with log.open("w") as out:
        environment = {**os.environ, "CGO_ENABLED": "0"}
        process = subprocess.Popen(build_command(partial), cwd=SOURCE, stdout=out, stderr=out, env=environment)
        while process.poll() is None:
            try:
                process.wait(PROGRESS_SECONDS)
            except subprocess.TimeoutExpired:
                say(f"compiling … {time.monotonic() - began:.0f} s")
    if process.returncode:
        raise BuildError(f"go build in {SOURCE.name}/ failed; {log}: {log.read_text()[-2000:]}")
    partial.rename(result)
    say(f"compiled in {time.monotonic() - began:.0f} s")


def say(line: str) -> None:
    """One line of progress."""
    sys.stderr.write(f"kubernetes: {line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.stdout.write(f"{binary()}\n")
