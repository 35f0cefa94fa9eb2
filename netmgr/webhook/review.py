"""AdmissionReview (admission.k8s.io/v1): what the API server asks and what it is answered. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import msgspec

from netmgr.api.meta import Json

LONGEST_MESSAGE = 4096
LONGEST_WARNING = 250
"""The API server may cut a warning behind its 256th character."""
MOST_WARNINGS = 12


class GroupVersionKind(msgspec.Struct, frozen=True):
    """What kind of object a request is about."""

    group: str = ""
    version: str = ""
    kind: str = ""


class AdmissionRequest(msgspec.Struct, frozen=True, rename="camel"):
    """One request; `object` is absent for DELETE, `old_object` for CREATE."""

    uid: str
    kind: GroupVersionKind
    operation: str
    name: str = ""
    namespace: str = ""
    object: msgspec.Raw = msgspec.Raw()
    old_object: msgspec.Raw = msgspec.Raw()

    @property
    def title(self) -> str:
        """Kind and name, as messages begin."""
        return f"{self.kind.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind.kind} {self.name}"


class AdmissionReview(msgspec.Struct, frozen=True):
    """The body of the API server's POST."""

    request: AdmissionRequest


@dataclass(frozen=True, slots=True)
class Answer:
    """Refused if there are refusals; `patch` are JSON patch operations (RFC 6902)."""

    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    patch: tuple[Json, ...] = ()


def decoded(raw: msgspec.Raw, type_: Any) -> Any:  # noqa: ANN401 - any of our structs
    """An object of a request; nothing where there is none, or where it has not the form (the schema says that better)."""
    if bytes(raw) in {b"", b"null"}:
        return None
    try:
        return msgspec.json.decode(raw, type=type_)
    except msgspec.MsgspecError:
        return None


def response(request: AdmissionRequest, answer: Answer) -> Json:
    """The review that goes back."""
    told: Json = {"uid": request.uid, "allowed": not answer.refusals}
    if answer.refusals:
        message = cut("; ".join(answer.refusals), LONGEST_MESSAGE)
        told["status"] = {"code": 403, "reason": "Forbidden", "message": message}
    if answer.warnings:
        told["warnings"] = [cut(one, LONGEST_WARNING) for one in answer.warnings[:MOST_WARNINGS]]
    if answer.patch and not answer.refusals:
        told |= {"patchType": "JSONPatch", "patch": base64.b64encode(msgspec.json.encode(list(answer.patch))).decode()}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": told}


def cut(text: str, longest: int) -> str:
    """The text, ended by an ellipsis where it is too long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"
