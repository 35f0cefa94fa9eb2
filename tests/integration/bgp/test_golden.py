"""The golden configurations pass bgpd's own check, and one that must not pass does not."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest

GOLDEN = sorted((Path(__file__).parents[2] / "unit" / "bgp" / "golden").glob("*.conf"))


def complaints(text: str) -> list[str]:
    """Lines that bgpd does not take. It ends with 0 all the same (8.4), so its words are what counts; it reads as user frr."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "bgpd.conf"
        file.write_text(text)
        done = subprocess.run(["/usr/lib/frr/bgpd", "--dryrun", "-f", str(file)], capture_output=True, text=True, check=False)
    assert "Graceful restart configuration changed" in done.stdout + done.stderr or "No such command" in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if " BGP: " in line]


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_bgpd_takes_the_golden_configuration(file: Path) -> None:
    assert complaints(file.read_text()) == []


def test_bgpd_refuses_a_line_that_it_does_not_know() -> None:
    wrong = GOLDEN[0].read_text().replace("router bgp 64512", "router bgp 64512 nonsense")
    assert "router bgp 64512 nonsense" in complaints(wrong)[0]
