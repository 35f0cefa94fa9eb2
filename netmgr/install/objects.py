"""The objects of an installation: rendered from `manifests/*.yaml.j2`, in the order in which they are applied.

Pure but for reading the package's own files. The CRDs come first; everything carries the label by which `uninstall` knows its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version

import jinja2
import yaml

from ipam.fallback import NO_FALLBACK, Fallback
from netmgr.api.definitions import definitions
from netmgr.api.meta import Json
from netmgr.kube import paths

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "netmgr-install"
LABELS = {MANAGED_BY: MANAGER, "app.kubernetes.io/part-of": "netmgr"}
FILES = ("namespace", "rbac", "admission", "webhook", "controller", "agent", "speaker")
NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}")
RESOURCE = re.compile(r"[a-z][a-z0-9]{0,62}(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)+")
ENDPOINT = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")

COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/serviceaccounts",
    "Secret": paths.SECRETS,
    "Service": "/api/v1/services",
    "CustomResourceDefinition": paths.CRDS,
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/rolebindings",
    "ValidatingAdmissionPolicy": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "MutatingWebhookConfiguration": paths.MUTATING_WEBHOOKS,
    "ValidatingWebhookConfiguration": paths.VALIDATING_WEBHOOKS,
    "Deployment": paths.DEPLOYMENTS,
    "DaemonSet": paths.DAEMON_SETS,
    "FlowSchema": "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas",
    "PodDisruptionBudget": "/apis/policy/v1/poddisruptionbudgets",
    "PoolAdvertisement": "/apis/netmgr.io/v1alpha1/pooladvertisements",
}


class SettingsError(ValueError):
    """An option of `netmgr install` that cannot be used; the message names it, its value and the rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What an administrator may choose. `api_server` is HOST:PORT for nodes on which the Service address does not answer."""

    namespace: str = "netmgr-system"
    image: str = f"docker.io/netmgr/netmgr:{version('netmgr')}"
    frr_image: str = f"docker.io/netmgr/frr:{version('netmgr')}"
    replicas: int = 2
    api_server: str = ""
    spider_endpoints: bool = False
    ipam_only: bool = False
    ipam_as: str = ""
    metrics_port: int = 9473
    agent_metrics_port: int = 9474
    follow: tuple[str, ...] = ()
    webhook_port: int = 9475
    fallback: Fallback = NO_FALLBACK

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.namespace):
            raise SettingsError(f"--namespace {self.namespace!r}: no RFC 1123 label; use lower-case letters, digits and dashes")
        for option, value in (("--image", self.image), ("--frr-image", self.frr_image)):
            if not IMAGE.fullmatch(value):
                raise SettingsError(f"{option} {value!r}: no image reference; use REGISTRY/NAME:TAG")
        for one in self.follow:
            if not RESOURCE.fullmatch(one):
                raise SettingsError(f"--follow {one!r}: use RESOURCE.GROUP with the plural, such as rollouts.argoproj.io")
        if self.ipam_as and not NAME.fullmatch(self.ipam_as):
            raise SettingsError(f"--ipam-as {self.ipam_as!r}: no plugin name; use what `ipam.type` says, for example spiderpool")
        if not 1024 <= self.webhook_port <= 65535:
            raise SettingsError(f"--webhook-port {self.webhook_port}: use a port from 1024 to 65535 that is free on the nodes")
        if self.ipam_as and self.ipam_as == self.fallback.plugin:
            raise SettingsError(f"--fallback {self.fallback}: netmgr itself has that name (--ipam-as); name another IPAM plugin")
        if self.api_server and not ENDPOINT.fullmatch(self.api_server):
            raise SettingsError(f"--api-server {self.api_server!r}: use HOST:PORT, an IPv6 address in brackets")


def custom_resources() -> list[Json]:
    """The CRDs."""
    return [labelled(one) for one in definitions()]


def objects(settings: Settings) -> list[Json]:
    """Everything but CRDs and defaults, in order."""
    return [one for name in FILES for one in rendered(name, settings)]


def defaults(settings: Settings) -> list[Json]:
    """Objects that are made once, if they are not there, and left alone afterwards."""
    return rendered("defaults", settings)


def cleanup(settings: Settings) -> Json:
    """The DaemonSet that removes netmgr from the nodes."""
    return rendered("cleanup", settings)[0]


def rendered(name: str, settings: Settings) -> list[Json]:
    """The objects of one file."""
    loader = jinja2.PackageLoader("netmgr.install", "manifests")
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - YAML; values are checked above
    text = environment.get_template(f"{name}.yaml.j2").render(
        namespace=settings.namespace,
        image=settings.image,
        frr_image=settings.frr_image,
        replicas=settings.replicas,
        spider_endpoints=settings.spider_endpoints,
        ipam_only=settings.ipam_only,
        ipam_as=settings.ipam_as,
        metrics_port=settings.metrics_port,
        agent_metrics_port=settings.agent_metrics_port,
        follow=[one.split(".", 1) for one in settings.follow],
        webhook_port=settings.webhook_port,
        fallback=str(settings.fallback),
        api_server=environment_lines(settings.api_server),
    )
    return [labelled(one) for one in yaml.safe_load_all(text) if one]


def environment_lines(api_server: str) -> str:
    """The entries of `env` that replace the Service address of the API server."""
    found = ENDPOINT.fullmatch(api_server)
    if not found:
        return ""
    values = {"KUBERNETES_SERVICE_HOST": found[1].strip("[]"), "KUBERNETES_SERVICE_PORT": found[2]}
    return "\n".join(f'        - {{name: {name}, value: "{value}"}}' for name, value in values.items())


def labelled(one: Json) -> Json:
    """The object with our labels."""
    metadata = one["metadata"]
    return {**one, "metadata": {**metadata, "labels": {**metadata.get("labels", {}), **LABELS}}}


def path_of(one: Json) -> str:
    """Where the object lives in the API."""
    metadata = one["metadata"]
    return paths.named(COLLECTIONS[one["kind"]], metadata["name"], namespace=metadata.get("namespace", ""))


def title(one: Json) -> str:
    """Kind and name, as kubectl prints them."""
    return f"{one['kind'].lower()}/{one['metadata']['name']}"


def as_text(many: list[Json]) -> str:
    """A stream of YAML documents."""
    return yaml.safe_dump_all(many, sort_keys=False, width=140)
