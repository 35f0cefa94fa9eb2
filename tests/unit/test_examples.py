"""Every annotation in `examples/` is one that netmgr understands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ipam.annotations import parse_request
from ipam.interfaces import parse_pod
from ipam.networks import Attachment, parse_attachment

FILES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))
OBJECTS = [(file.name, one) for file in FILES for one in yaml.safe_load_all(file.read_text())]


def pods() -> Iterator[Any]:
    for name, one in OBJECTS:
        template = one.get("spec", {}).get("template", one if one["kind"] == "Pod" else None)
        if template is not None:
            yield pytest.param(template["metadata"].get("annotations", {}), id=f"{name}-{one['metadata']['name']}")


def networks() -> dict[str, Attachment]:
    found = (one for _, one in OBJECTS if one["kind"] == "NetworkAttachmentDefinition")
    return {f"default/{one['metadata']['name']}": parse_attachment(one["metadata"]["name"], one["spec"]["config"]) for one in found}


@pytest.mark.parametrize("annotations", list(pods()))
def test_each_interface_of_an_example_pod_is_spoken_for(annotations: dict[str, str]) -> None:
    parse_request(annotations)
    found = parse_pod(annotations, "default", {}, networks())
    assert (found.absent, found.unknown) == ((), ())


def test_the_networks_of_the_examples_are_ours() -> None:
    assert [one.ours for one in networks().values()] == [True] * len(networks())


def test_the_namespaces_pools_can_be_read() -> None:
    notes = next(one["metadata"]["annotations"] for _, one in OBJECTS if one["kind"] == "Namespace")
    assert [one.interface for one in parse_pod({}, "shop", notes, {}).nics] == ["eth0"]
