"""I/O: small files that are whole or absent, and root's alone."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Written aside (`.<name>`), then renamed. On tmpfs, so no fsync."""
    aside = file.with_name(f".{file.name}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, content)
    finally:
        os.close(handle)
    aside.rename(file)
