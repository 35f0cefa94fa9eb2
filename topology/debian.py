"""Files of installed Debian packages, as the content of an image.

I/O: asks dpkg-query and ldd. Nothing is downloaded: an image holds what is installed here, so it needs no registry. Instead of a
closure over package dependencies (which drags in debconf and Perl) the shared libraries are followed from the programs.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from topology.archive import MERGED
from topology.errors import ImageError

NEEDLESS = re.compile(
    r"^/usr/(share/(doc|man|info|locale|lintian|bash-completion|doc-base)|lib/[^/]+/(gconv|perl))(/|$)|^/etc/init\.d/"
)
LIBRARY = re.compile(r"=> (/\S+) \(|^\s+(/\S+) \(", re.MULTILINE)
ELF = b"\x7fELF"
BATCH = 100


def versions(packages: Iterable[str]) -> str:
    """Installed versions, one a line; ImageError names what is missing."""
    names = sorted(packages)
    words = ["dpkg-query", "--show", "--showformat=${Package} ${Version} ${db:Status-Status}\n", *names]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    installed = [line for line in done.stdout.splitlines() if line.endswith(" installed")]
    missing = set(names) - {line.split()[0] for line in installed}
    if missing:
        raise ImageError(f"Debian packages {', '.join(sorted(missing))} are not installed; run `make setup`")
    return "\n".join(sorted(installed))


def files(packages: Iterable[str], wanted: Callable[[str], bool] = bool) -> dict[str, Path]:
    """Files and links of packages, and all shared libraries they load, by their place in the image."""
    done = subprocess.run(["dpkg-query", "--listfiles", *packages], capture_output=True, text=True, check=True)
    listed = [Path(name) for name in done.stdout.splitlines() if name.startswith("/") and not NEEDLESS.match(name) and wanted(name)]
    found = [path for path in listed if path.is_symlink() or path.is_file()]
    return placed([*found, *libraries(found)])


def libraries(paths: Iterable[Path]) -> list[Path]:
    """Shared libraries that these programs and libraries load, with the loader itself; links and what they point to."""
    programs = [str(path) for path in paths if is_elf(path)]
    found: set[Path] = set()
    for start in range(0, len(programs), BATCH):
        done = subprocess.run(["ldd", *programs[start : start + BATCH]], capture_output=True, text=True, check=False)
        for match in LIBRARY.finditer(done.stdout):
            path = Path(match[1] or match[2])
            found |= {path, path.resolve()}
    return sorted(found)


def is_elf(path: Path) -> bool:
    """Whether a file is a program or library."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == ELF


def placed(paths: Iterable[Path]) -> dict[str, Path]:
    """Paths by their place in an image with merged /usr."""
    return {place(path): path for path in paths}


def place(path: Path) -> str:
    """A path in an image with merged /usr, without the leading slash."""
    first, *rest = path.parts[1:]
    return "/".join([MERGED.get(first, first), *rest])
