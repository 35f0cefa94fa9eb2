"""What an ownerReference names is asked for at the API server only where it can be a kind's group and version."""

from __future__ import annotations

import pytest

from netmgr.controller.third_party import GROUP_VERSION


@pytest.mark.parametrize("text", ["v1", "argoproj.io/v1alpha1", "apps.kruise.io/v1beta1", "x/v1"])
def test_a_group_and_version_is_asked_for(text: str) -> None:
    assert GROUP_VERSION.fullmatch(text)


@pytest.mark.parametrize("text", ["", "..", "../v1", "a/../v1", "x?y/v1", "x%2fy/v1", "a/b/v1", "Apps/v1", "x/v1\n", "x y/v1"])
def test_what_would_be_another_path_is_not(text: str) -> None:
    assert not GROUP_VERSION.fullmatch(text)
