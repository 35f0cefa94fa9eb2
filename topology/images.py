"""The images of a lab, made offline from what is installed: pause, nginx, FRR, netmgr.

I/O: compiles, runs pip for the locked wheels, writes archives. Layers are cached outside the clone by a hash of all they are made
of; an archive is put together from them in the lab's folder. Order of layers: what changes least first.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from topology import debian
from topology.archive import BASE, Content, Image, write_image, write_layer
from topology.errors import ImageError
from topology.kubernetes import cache

PROJECT = Path(__file__).resolve().parents[1]
RECIPES = Path(__file__).parent / "image"
PYTHON = "/usr/bin/python3.11"
SITE = "usr/local/lib/python3.11/dist-packages"
FORMAT = "2"  # of layers: raise it when the way they are made changes
Progress = Callable[[str], None]

TOOLS = ("bash", "coreutils", "iproute2")
NGINX = ("nginx", "nginx-common")
SHELL = ("bash", "coreutils", "curl")  # what the published nginx image has too
FRR = ("frr",)
INTERPRETER = ("libpython3.11-minimal", "libpython3.11-stdlib", "python3.11", "python3.11-minimal")
ROOMS = ("bgp", "cni", "ipam", "netmgr")
ENTRY = PROJECT / "bgp" / "frr" / "entry"
ENTRY_IN_IMAGE = "usr/local/bin/frr-entry"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
MAIN = f"#!{PYTHON} -I\nimport sys\n\nfrom netmgr.cli import main\n\nsys.exit(main())\n"
ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"
    "frr:x:101:101::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nwww-data:x:33:\nfrr:x:101:\nfrrvty:x:102:frr\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# vtysh asks PAM even as root, and ends without an answer.
PAM = {
    "etc/pam.d/frr": "auth sufficient pam_permit.so\naccount sufficient pam_permit.so\n",
    "etc/frr/vtysh.conf": "no service integrated-vtysh-config\n",
}
PAM_MODULE = Path("/usr/lib/x86_64-linux-gnu/security/pam_permit.so")


def write_all(folder: Path, progress: Progress) -> None:
    """Write the archives of all images into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version("netmgr")
    entry = f"/{ENTRY_IN_IMAGE}"
    images = {
        "pause": Image(name="netmgr.local/pause:lab", layers=(pause(),), entrypoint=("/pause",)),
        "nginx": Image(
            name="docker.io/library/nginx:latest",
            layers=(nginx(),),
            entrypoint=("/usr/sbin/nginx", "-g", "daemon off;"),
            stop_signal="SIGQUIT",
        ),
        "frr": Image(name=f"docker.io/netmgr/frr:{version}", layers=(frr(), frr_entry()), entrypoint=("/bin/bash", entry)),
        "netmgr": Image(
            name=f"docker.io/netmgr/netmgr:{version}", layers=(interpreter(), wheels(progress), code()), entrypoint=("netmgr",)
        ),
    }
    for name, image in images.items():
        write_image(folder / f"{name}.tar", image)


@contextmanager
def cached(name: str, *parts: str | bytes) -> Iterator[Path]:
    """The place of a layer made of these parts; the caller writes it if nothing is there."""
    digest = hashlib.sha256("\0".join([FORMAT, name]).encode())
    for part in parts:
        digest.update(hashlib.sha256(part if isinstance(part, bytes) else part.encode()).digest())
    path = cache() / "layers" / f"{name}-{digest.hexdigest()[:16]}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    yield path


def pause() -> Path:
    """The first process of Pod sandboxes, a static program."""
    source = RECIPES / "pause.c"
    with cached("pause", source.read_bytes()) as path:
        if not path.exists():
            with tempfile.TemporaryDirectory() as folder:
                program = Path(folder) / "pause"
                run("musl-gcc", "-static", "-Os", "-s", "-o", str(program), str(source))
                write_layer(path, Content(files={"pause": program}))
    return path


def nginx() -> Path:
    """Debian's nginx with the lab's configuration."""
    configuration = RECIPES / "nginx.conf"
    with cached("nginx", debian.versions((*NGINX, *SHELL)), configuration.read_bytes(), str(ACCOUNTS)) as path:
        if not path.exists():
            found = debian.files((*NGINX, *SHELL), lambda name: not name.startswith(("/etc/nginx/sites", "/etc/nginx/modules")))
            found |= {"etc/nginx/nginx.conf": configuration}
            folders = {"var/lib/nginx": 0o755, "var/log/nginx": 0o755}
            write_layer(path, based(Content(files=found, texts=ACCOUNTS, links={"usr/bin/sh": "bash"}, folders=folders)))
    return path


def frr() -> Path:
    """FRR's daemons and vtysh, with the tools that the entry calls."""
    with cached("frr", debian.versions((*FRR, *TOOLS)), str(ACCOUNTS), str(PAM)) as path:
        if not path.exists():
            found = debian.files((*FRR, *TOOLS), lambda name: not name.startswith(("/etc/frr", "/etc/pam.d", "/usr/lib/frr/frr-")))
            found |= debian.placed([PAM_MODULE])
            folders = {"etc/frr": 0o755, "var/log/frr": 0o755, "var/lib/netmgr/frr": 0o755}
            write_layer(path, based(Content(files=found, texts=ACCOUNTS | PAM, links={"usr/bin/sh": "bash"}, folders=folders)))
    return path


def frr_entry() -> Path:
    """What FRR's container runs."""
    with cached("frr-entry", ENTRY.read_bytes()) as path:
        if not path.exists():
            write_layer(path, Content(programs={ENTRY_IN_IMAGE: ENTRY.read_text()}))
    return path


def interpreter() -> Path:
    """Python, the ip command and vtysh with its libraries."""
    with cached("python", debian.versions((*INTERPRETER, *TOOLS, *FRR)), str(ACCOUNTS), str(PAM)) as path:
        if not path.exists():
            found = debian.files((*INTERPRETER, *TOOLS), lambda name: "/test/" not in name and "/idlelib/" not in name)
            vtysh = Path("/usr/bin/vtysh")
            found |= debian.placed([vtysh, PAM_MODULE, *debian.libraries([vtysh, PAM_MODULE])])
            links = {"usr/bin/python3": "python3.11", "usr/bin/sh": "bash"}
            write_layer(path, based(Content(files=found, texts=ACCOUNTS | PAM, links=links, folders={"etc/frr": 0o755})))
    return path


def wheels(progress: Progress) -> Path:
    """The locked run-time dependencies, compiled."""
    lock = PROJECT / "requirements.lock"
    with cached("wheels", lock.read_bytes(), debian.versions(INTERPRETER)) as path:
        if not path.exists():
            progress("images: installing the locked wheels (once)")
            with tempfile.TemporaryDirectory() as folder:
                where = [f"--target={folder}", "--python-version=3.11", "--implementation=cp", "--only-binary=:all:"]
                where += [f"--platform={platform}" for platform in PLATFORMS]
                words = ["--quiet", "--no-compile", "--no-deps", "--require-hashes", "--disable-pip-version-check"]
                run(sys.executable, "-m", "pip", "install", *words, *where, "-r", str(lock))
                content = compiled(Path(folder))
                write_layer(path, Content(files={**content.files, **debian.placed(loaded(Path(folder)))}))
    return path


def loaded(folder: Path) -> list[Path]:
    """Libraries of the machine that compiled modules in a folder load; wheels bring most of theirs along."""
    return [path for path in debian.libraries(folder.rglob("*.so*")) if not path.is_relative_to(folder)]


def code() -> Path:
    """Our own packages and programs."""
    programs = {f"usr/libexec/netmgr/{name}": PROJECT / "build" / name for name in ("netmgr", "netmgr-ipam")}
    for program in programs.values():
        if not program.exists():
            raise ImageError(f"{program} does not exist; run `make build/netmgr-ipam build/netmgr`")
    sources = sorted(
        path for room in ROOMS for path in (PROJECT / room).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    )
    with cached(
        "code", MAIN, *(str(one.relative_to(PROJECT)).encode() + one.read_bytes() for one in (*sources, *programs.values()))
    ) as path:
        if not path.exists():
            with tempfile.TemporaryDirectory() as folder:
                for source in sources:
                    target = Path(folder) / source.relative_to(PROJECT)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source, target)
                content = compiled(Path(folder))
                scripts = {"usr/local/bin/netmgr": MAIN}
                write_layer(path, Content(files={**content.files, **programs}, programs=scripts))
    return path


def compiled(folder: Path) -> Content:
    """Python packages with their bytecode, checked by nobody at run time: the image does not change."""
    options = ["-q", "-j2", "--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", f"/{SITE}"]
    run("nice", PYTHON, "-m", "compileall", *options, str(folder))
    found = [path for path in folder.rglob("*") if path.is_file()]
    return Content(files={f"{SITE}/{path.relative_to(folder)}": path for path in found})


def based(content: Content) -> Content:
    """The content as first layer of an image."""
    return Content(
        files=content.files,
        texts=content.texts,
        programs=content.programs,
        links=dict(BASE.links) | dict(content.links),
        folders=dict(BASE.folders) | dict(content.folders),
    )


def run(*words: str) -> None:
    """Run a program; its words make the error."""
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(f"{' '.join(words[:4])} … ended with {done.returncode}: {done.stderr.strip()[-1000:]}")
