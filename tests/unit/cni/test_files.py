"""Small files are whole or absent, also where the file system is full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LITTLE_ROOM = """
import resource, signal, sys
from pathlib import Path
from cni.files import write_whole

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
write_whole(Path(sys.argv[1]), b"new" * 50)
"""
"""A process none of whose files can be longer than 100 bytes: the kernel takes a part of a longer one, then refuses."""


def test_what_does_not_fit_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "record"
    file.write_bytes(b"old")

    done = subprocess.run([sys.executable, "-c", LITTLE_ROOM, str(file)], capture_output=True, text=True, check=False)

    assert "File too large" in done.stderr
    assert (file.read_bytes(), [one.name for one in tmp_path.iterdir()]) == (b"old", ["record"])
