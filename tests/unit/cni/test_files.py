"""Small files are whole or absent, also where the file system is full."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cni.files import write_whole


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file of this process can be longer than 100 bytes: the kernel takes a part of a longer one, then refuses."""
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_what_does_not_fit_leaves_what_was_there(tmp_path: Path, little_room: None) -> None:
    file = tmp_path / "record"
    write_whole(file, b"old")

    with pytest.raises(OSError, match="File too large"):
        write_whole(file, b"new" * 50)

    assert (file.read_bytes(), [one.name for one in tmp_path.iterdir()]) == (b"old", ["record"])
