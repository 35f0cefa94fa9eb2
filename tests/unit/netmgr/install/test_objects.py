"""What `netmgr install --render` prints, and what it refuses."""

from __future__ import annotations

import pytest

from netmgr.api.meta import Json
from netmgr.install.objects import (
    COLLECTIONS,
    MANAGED_BY,
    Settings,
    SettingsError,
    cleanup,
    custom_resources,
    defaults,
    objects,
    path_of,
)

SETTINGS = Settings()
EVERYTHING = [*custom_resources(), *objects(SETTINGS), *defaults(SETTINGS), cleanup(SETTINGS)]


def pod_specs() -> dict[str, Json]:
    return {one["metadata"]["name"]: one["spec"]["template"]["spec"] for one in EVERYTHING if "template" in one.get("spec", {})}


def rules(role: str) -> list[Json]:
    roles = [one for one in EVERYTHING if one["kind"] in {"ClusterRole", "Role"} and one["metadata"]["name"] == role]
    return [rule for one in roles for rule in one["rules"]]


def test_a_followed_kind_may_be_read_and_nothing_else() -> None:
    made = objects(Settings(follow=("rollouts.argoproj.io",)))
    role = next(one for one in made if one["metadata"]["name"] == "netmgr-followed-kinds")
    assert role["metadata"]["labels"]["netmgr.io/aggregate-to-controller"] == "true"
    assert role["rules"] == [
        {"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["argoproj.io"], "resources": ["rollouts/scale"], "verbs": ["get"]},
    ]


@pytest.mark.parametrize("text", ["rollouts", "Rollouts.argoproj.io", "*.argoproj.io", "pods/exec.x.io", "a.b\nc", ""])
def test_what_is_no_resource_of_a_group_is_not_followed(text: str) -> None:
    with pytest.raises(SettingsError, match=r"RESOURCE\.GROUP"):
        Settings(follow=(text,))


def test_each_object_has_a_place_and_the_label_by_which_uninstall_knows_it() -> None:
    assert {one["kind"] for one in EVERYTHING} <= set(COLLECTIONS)
    assert [path_of(one) for one in EVERYTHING if MANAGED_BY not in one["metadata"]["labels"]] == []


def test_no_object_is_named_twice() -> None:
    paths = [path_of(one) for one in EVERYTHING]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("role", ["netmgr-controller", "netmgr-agent", "netmgr-speaker", "netmgr-view"])
def test_no_role_has_a_wildcard(role: str) -> None:
    words = [word for rule in rules(role) for key in ("apiGroups", "resources", "verbs") for word in rule[key]]
    assert words
    assert {"*", "escalate", "impersonate", "bind"}.isdisjoint(words)


def test_the_one_secret_that_a_role_may_read_is_the_webhooks_own() -> None:
    roles = [one for one in EVERYTHING if one["kind"] in {"ClusterRole", "Role"}]
    reading = [
        (one["kind"], one["metadata"]["name"], rule)
        for one in roles
        for rule in one.get("rules", [])
        if "secrets" in rule["resources"]
    ]
    assert [(kind, name, rule["resourceNames"]) for kind, name, rule in reading] == [
        ("Role", "netmgr-controller", ["netmgr-webhook"])
    ]


def test_webhooks_are_never_waited_for_but_by_a_deletion_of_what_is_in_use() -> None:
    hooks = [hook for one in EVERYTHING for hook in one.get("webhooks", [])]
    assert [hook["name"] for hook in hooks if hook["failurePolicy"] != "Ignore"] == ["in-use.netmgr.io"]
    assert all(hook["timeoutSeconds"] <= 5 and hook["sideEffects"] == "None" for hook in hooks)


def test_an_agent_may_not_create_or_delete_allocations() -> None:
    verbs = {verb for rule in rules("netmgr-agent") if "ipallocations" in rule["resources"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}


def test_only_the_init_container_that_sets_forwarding_is_privileged() -> None:
    containers = [one for spec in pod_specs().values() for one in [*spec["containers"], *spec.get("initContainers", [])]]
    assert [one["name"] for one in containers if one["securityContext"].get("privileged")] == ["forwarding"]


def test_every_container_drops_all_capabilities_first() -> None:
    containers = [one for spec in pod_specs().values() for one in spec["containers"]]
    assert len(containers) == 5
    assert all(one["securityContext"]["capabilities"]["drop"] == ["ALL"] for one in containers)


def test_the_daemon_sets_run_on_every_node_of_a_fresh_cluster() -> None:
    specs = pod_specs()
    assert all(specs[name]["tolerations"] == [{"operator": "Exists"}] for name in ("netmgr-agent", "netmgr-speaker"))
    assert all(spec["hostNetwork"] for spec in specs.values())


def test_the_api_server_can_be_named_for_nodes_without_services() -> None:
    settings = Settings(api_server="[fd00:30::10]:6443")
    found = {one["metadata"]["name"]: one for one in objects(settings) if one["kind"] in {"Deployment", "DaemonSet"}}
    entries = found["netmgr-agent"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "KUBERNETES_SERVICE_HOST", "value": "fd00:30::10"} in entries
    assert {"name": "KUBERNETES_SERVICE_PORT", "value": "6443"} in entries


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"namespace": "Net_mgr"}, "--namespace 'Net_mgr': no RFC 1123 label"),
        ({"namespace": "a\nkind: Secret"}, "--namespace"),
        ({"image": "x y"}, "--image 'x y': no image reference"),
        ({"frr_image": ""}, "--frr-image ''"),
        ({"ipam_as": "../spiderpool"}, "--ipam-as '../spiderpool': no plugin name"),
        ({"api_server": "10.0.0.1"}, "--api-server '10.0.0.1': use HOST:PORT"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused_with_its_rule(options: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Settings(**options)  # type: ignore[arg-type] # fields by name


def test_the_agents_arguments_say_what_the_node_gets() -> None:
    def arguments(settings: Settings) -> list[str]:
        found = {one["metadata"]["name"]: one for one in objects(settings) if one["kind"] in {"Deployment", "DaemonSet"}}
        specs = [found[name]["spec"]["template"]["spec"]["containers"][0]["args"] for name in ("netmgr-controller", "netmgr-agent")]
        return [word for words in specs for word in words if word.startswith(("--ipam", "--spider"))]

    assert arguments(SETTINGS) == []
    chosen = Settings(ipam_only=True, ipam_as="spiderpool", spider_endpoints=True)
    assert arguments(chosen) == ["--spider-endpoints", "--ipam-only", "--ipam-as=spiderpool"]


def test_a_lease_does_not_wait_behind_its_holders_own_work_in_the_api_server() -> None:
    spec = next(one["spec"] for one in EVERYTHING if one["kind"] == "FlowSchema")
    holders = {subject["serviceAccount"]["name"] for rule in spec["rules"] for subject in rule["subjects"]}
    resources = [what["resources"] for rule in spec["rules"] for what in rule["resourceRules"]]
    assert spec["priorityLevelConfiguration"] == {"name": "leader-election"}
    assert (holders, resources) == ({"netmgr-controller", "netmgr-agent"}, [["leases"]])
