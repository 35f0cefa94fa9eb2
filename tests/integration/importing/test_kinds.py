"""Kinds that Spiderpool's chart brought: not installed over, taken over by the import, and left there by the uninstaller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from netmgr.api import spider
from netmgr.api.meta import Json, PartialObject
from netmgr.install.installing import Installer, InstallError
from netmgr.install.objects import Settings, custom_resources
from netmgr.install.removing import Remover
from netmgr.install.spiderpool import WEBHOOKS
from netmgr.kube import paths
from netmgr.kube.client import Api
from netmgr.kube.errors import ApiError, NotFound
from tests.integration.apiserver import ApiServer
from tests.integration.controller.cluster import Cluster
from tests.integration.importing.spiderpool import Spiderpool
from tests.waiting import eventually

POOL_KIND = "spiderippools.spiderpool.spidernet.io"


@pytest.fixture
def theirs(own_api_server: ApiServer, tmp_path: Path) -> Spiderpool:
    """A cluster whose kinds Helm's chart made, and whose webhook's server is gone."""
    made = Spiderpool(Cluster(own_api_server, "default", tmp_path))
    made.subnet("10.67.1.0-10.67.2.255")
    path = paths.named(paths.CRDS, POOL_KIND)
    made.patch(path, {"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"theirs": "yes"}}})
    hook = {
        "name": "spiderippool.spiderpool.spidernet.io",
        "clientConfig": {"url": "https://127.0.0.1:1/validate"},
        "rules": [{"apiGroups": ["spiderpool.spidernet.io"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    made.create(WEBHOOKS[1], {"metadata": {"name": "spiderpool-controller"}, "webhooks": [hook]})
    return made


def install(theirs: Spiderpool, act: Any) -> Any:
    async def with_installer(api: Api) -> Any:
        return await act(api, Installer(api, Settings(), print))

    return theirs.cluster.call(with_installer)


def refusal(theirs: Spiderpool) -> str:
    """What the installer says about the cluster; nothing where it would go on."""

    async def ask(_: Api, installer: Installer) -> str:
        try:
            await installer._refuse_unfit()
        except InstallError as error:
            return str(error)
        return ""

    answer: str = install(theirs, ask)
    return answer


def write(theirs: Spiderpool) -> str:
    """What the API server says to a write on a subnet; nothing where it does it."""
    try:
        theirs.patch(paths.named(spider.SUBNETS, "s"), {"metadata": {"annotations": {"written": "yes"}}})
    except ApiError as error:
        return str(error)
    return ""


def definition(theirs: Spiderpool) -> Json:
    found: Json = theirs.cluster.call(lambda api: api.get(paths.named(paths.CRDS, POOL_KIND), dict[str, Any]))
    return found


def test_the_installer_sends_to_the_import_which_takes_kinds_over_and_the_uninstaller_leaves_them(theirs: Spiderpool) -> None:
    assert "take Spiderpool's over with `netmgr import spiderpool`" in refusal(theirs)
    eventually(lambda: write(theirs), lambda error: "failed calling webhook" in error, what="the webhook is asked")
    code, answer = theirs.imported()
    assert (code, answer["findings"]) == (0, [])
    assert f"customresourcedefinition/{POOL_KIND} taken over" in answer["changed"]
    assert "validatingwebhookconfiguration/spiderpool-controller deleted" in answer["changed"]
    meta = definition(theirs)["metadata"]
    assert meta["labels"]["app.kubernetes.io/managed-by"] == "netmgr-install"
    assert (meta["annotations"]["netmgr.io/adopted-from"], meta["annotations"]["theirs"]) == ("Helm", "yes")
    assert refusal(theirs) == ""
    eventually(lambda: write(theirs), lambda error: error == "", what="nobody is asked")
    theirs.cluster.pool("p", "10.67.0.0/16", "10.67.1.1-10.67.1.9")
    assert theirs.imported()[1]["changed"] == []

    async def uninstall(api: Api) -> None:
        remover = Remover(api, Settings(), print)
        await remover._drop_finalizers()
        for one in reversed(custom_resources()):
            await remover._delete(one)
        for one in custom_resources():
            await remover._until_gone(one)

    theirs.cluster.call(uninstall)
    assert theirs.cluster.read_pool("p") is not None
    with pytest.raises(NotFound):
        theirs.cluster.call(lambda api: api.get(paths.named(paths.CRDS, "ipallocations.netmgr.io"), PartialObject))


def test_the_installer_refuses_while_spiderpool_runs_and_not_when_it_is_scaled_to_zero(theirs: Spiderpool) -> None:
    theirs.imported()
    theirs.controller()
    said = refusal(theirs)
    assert "Deployment default/sp is Spiderpool's controller: kubectl scale -n default deployment sp --replicas 0" in said
    theirs.cluster.scale("sp", 0)
    assert refusal(theirs) == ""


def test_a_kind_of_the_installers_own_goes_with_it(own_api_server: ApiServer, tmp_path: Path) -> None:
    cluster = Cluster(own_api_server, "default", tmp_path)
    theirs = Spiderpool(cluster)
    label = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "netmgr-install"}}}
    theirs.patch(paths.named(paths.CRDS, POOL_KIND), label)

    async def delete(api: Api) -> None:
        remover = Remover(api, Settings(), print)
        (kind,) = (one for one in custom_resources() if one["metadata"]["name"] == POOL_KIND)
        await remover._delete(kind)
        await remover._until_gone(kind)

    cluster.call(delete)
    with pytest.raises(NotFound):
        cluster.call(lambda api: api.get(paths.named(paths.CRDS, POOL_KIND), PartialObject))


def test_spiderpools_agents_count_as_running_and_multus_does_not(theirs: Spiderpool) -> None:
    theirs.imported()
    for name in ("spiderpool-agent", "spiderpool-multus"):
        labels = {"app.kubernetes.io/name": "spiderpool", "app.kubernetes.io/component": name}
        spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": json.loads(PODS)}}
        theirs.create(theirs.cluster.here(paths.DAEMON_SETS), {"metadata": {"name": name, "labels": labels}, "spec": spec})
        status = {"currentNumberScheduled": 2, "numberMisscheduled": 0, "desiredNumberScheduled": 2, "numberReady": 2}
        theirs.patch(paths.named(paths.DAEMON_SETS, name, "status", namespace="default"), {"status": status})
    done = theirs.run("import", "spiderpool")
    assert done.returncode == 3
    assert "DaemonSet default/spiderpool-agent is Spiderpool's agent" in done.stderr
    assert "multus" not in done.stderr


PODS = '{"containers": [{"name": "c", "image": "x"}]}'
