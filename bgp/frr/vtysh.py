"""vtysh, FRR's shell: one call to apply lines, one call to read state as JSON.

I/O: starts `vtysh`. A call takes 35 to 60 ms (FRR 8.4), whatever the number of lines up to some hundred.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bgp.errors import EngineError

SECONDS = 20


class Vtysh:
    """bgpd, whose socket lies in `run_dir`.

    bgpd alone: vtysh would enter prefix-lists into every daemon that knows them, and a line that one of them refuses (it was begun
    again without our lists) ends the whole call half-way (8.4: "Failure to communicate[13] to zebra").
    """

    def __init__(self, run_dir: Path) -> None:
        self.command = ["vtysh", "--vty_socket", str(run_dir), "-d", "bgpd"]

    def apply(self, lines: list[str]) -> None:
        """Enter configuration lines; EngineError with vtysh's own words if one is refused."""
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("\n".join(lines) + "\n")
            file.flush()
            self._run("-f", file.name)

    def show(self, command: str) -> Any:  # noqa: ANN401 - FRR's JSON
        """A `show ... json` command, decoded; an empty answer is an empty object."""
        text = self._run("-c", command)
        return json.loads(text) if text.strip() else {}

    def text(self, command: str) -> str:
        """A command's plain answer."""
        return self._run("-c", command)

    def _run(self, *arguments: str) -> str:
        try:
            done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, check=False, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise EngineError(f"vtysh {' '.join(arguments)}: {error}; are the daemons of this node running?") from error
        refused = [line for line in done.stdout.splitlines() if line.startswith("%") or "Unknown command" in line]
        if done.returncode or refused:
            words = (done.stderr.strip() or "; ".join(refused) or done.stdout.strip())[:500]
            raise EngineError(f"vtysh {arguments[0]} ended with {done.returncode}: {words}")
        return done.stdout
