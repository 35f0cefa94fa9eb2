"""OCI images as archives, for `ctr images import`.

I/O: writes tar files. A layer is a tar of its own, made once and shared between images by its digest; everything is sorted and
dated 1970, so that equal content gives equal digests. Layers stay uncompressed: they never leave the machine, and gzip costs more
than the disk. Source: OCI image-spec 1.0, containerd's `io.containerd.image.name`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CHUNK = 1 << 20
# The machine has merged /usr: programs say /bin and /lib, files are in /usr.
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
FOLDERS = ("dev", "etc", "proc", "root", "run", "sys", "usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "var/lib", "var/log")


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a layer holds. Paths in the image have no leading slash."""

    files: Mapping[str, Path] = field(default_factory=dict)  # file or symbolic link of the machine
    texts: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)  # texts with the executable bit
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)  # with their mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image: its name with tag, its layers, and what runs."""

    name: str
    layers: tuple[Path, ...]
    entrypoint: tuple[str, ...]
    stop_signal: str = "SIGTERM"


BASE = Content(links=MERGED | {"var/run": "../run"}, folders=dict.fromkeys(FOLDERS, 0o755) | {"tmp": 0o1777, "var/tmp": 0o1777})


def write_layer(path: Path, content: Content) -> None:
    """Write a layer; the file appears whole or not at all."""
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, mode in sorted(with_parents(content).items()):
            tar.addfile(member(name, tarfile.DIRTYPE, mode))
        for name, target in sorted(content.links.items()):
            link = member(name, tarfile.SYMTYPE, 0o777)
            link.linkname = target
            tar.addfile(link)
        for name, text in sorted((dict(content.texts) | dict(content.programs)).items()):
            one = member(name, tarfile.REGTYPE, 0o755 if name in content.programs else 0o644)
            one.size = len(text.encode())
            tar.addfile(one, io.BytesIO(text.encode()))
        for name, source in sorted(content.files.items()):
            add_file(tar, name, source)
    partial.rename(path)


def with_parents(content: Content) -> dict[str, int]:
    """All folders of a layer."""
    named: Iterable[str] = (*content.files, *content.texts, *content.programs, *content.links, *content.folders)
    parents = {str(parent): 0o755 for name in named for parent in Path(name).parents if str(parent) != "."}
    return parents | dict(content.folders)


def add_file(tar: tarfile.TarFile, name: str, source: Path) -> None:
    """Add a file of the machine with its mode, or the symbolic link itself."""
    if source.is_symlink():
        link = member(name, tarfile.SYMTYPE, 0o777)
        link.linkname = str(source.readlink())
        tar.addfile(link)
        return
    one = member(name, tarfile.REGTYPE, source.stat().st_mode & 0o777)
    one.size = source.stat().st_size
    with source.open("rb") as file:
        tar.addfile(one, file)


def member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """An entry that belongs to root and has no date."""
    found = tarfile.TarInfo(name)
    found.type, found.mode = kind, mode
    return found


def write_image(path: Path, image: Image) -> None:
    """Write the archive; the file appears whole or not at all."""
    layers = [(file_digest(layer), layer) for layer in image.layers]
    config = encode(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {
                "Entrypoint": image.entrypoint,
                "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"],
                "StopSignal": image.stop_signal,
            },
            "rootfs": {"type": "layers", "diff_ids": [digest for digest, _ in layers]},
        }
    )
    kind = "application/vnd.oci.image"
    manifest = encode(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.manifest.v1+json",
            "config": {"mediaType": f"{kind}.config.v1+json", **described(config)},
            "layers": [{"mediaType": f"{kind}.layer.v1.tar", "digest": one, "size": file.stat().st_size} for one, file in layers],
        }
    )
    platform = {"architecture": "amd64", "os": "linux"}
    notes = {"io.containerd.image.name": image.name, "org.opencontainers.image.ref.name": image.name.rpartition(":")[2]}
    entry = {"mediaType": f"{kind}.manifest.v1+json", "platform": platform, "annotations": notes, **described(manifest)}
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar:
        add_blob(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        add_blob(tar, "index.json", encode({"schemaVersion": 2, "manifests": [entry]}))
        for blob in (config, manifest):
            add_blob(tar, f"blobs/sha256/{digest(blob)[7:]}", blob)
        for name, layer in dict(layers).items():
            add_file(tar, f"blobs/sha256/{name[7:]}", layer)
    partial.rename(path)


def add_blob(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    """Add bytes."""
    one = member(name, tarfile.REGTYPE, 0o644)
    one.size = len(content)
    tar.addfile(one, io.BytesIO(content))


def described(blob: bytes) -> dict[str, object]:
    """Digest and size."""
    return {"digest": digest(blob), "size": len(blob)}


def digest(blob: bytes) -> str:
    """The OCI digest of bytes."""
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def file_digest(path: Path) -> str:
    """The OCI digest of a file."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def encode(content: object) -> bytes:
    """JSON with sorted keys."""
    return json.dumps(content, sort_keys=True).encode()
