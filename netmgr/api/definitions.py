"""I/O: reads the CustomResourceDefinitions that are part of this package (`netmgr/api/crds/*.yaml`, one kind each)."""

from __future__ import annotations

from importlib.resources import files

import yaml

from netmgr.api.meta import Json


def definitions_text() -> str:
    """All CRDs as one stream of YAML documents, ordered by file name."""
    folder = files("netmgr.api").joinpath("crds")
    parts = sorted((part for part in folder.iterdir() if part.name.endswith(".yaml")), key=lambda part: part.name)
    return "---\n".join(part.read_text() for part in parts)


def definitions() -> list[Json]:
    """All CRDs as objects, ready to be applied."""
    return list(yaml.safe_load_all(definitions_text()))
