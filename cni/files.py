"""I/O: small files that are whole or absent, and root's alone."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(file: Path, content: bytes) -> None:
    """Written aside (`.<name>`), then renamed. On tmpfs, so no fsync. OSError where it does not fit: then nothing has changed."""
    aside = file.with_name(f".{file.name}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        left = memoryview(content)
        while left:  # a file system that fills up takes a part, and refuses only the rest
            left = left[os.write(handle, left) :]
    except OSError:
        aside.unlink()
        raise
    finally:
        os.close(handle)
    aside.rename(file)
