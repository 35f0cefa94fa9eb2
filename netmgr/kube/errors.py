"""What the API server, or the way to it, can answer instead of success.

The tree; class names are the API's own reasons, and serve as metric label and Event reason:

    ApiError
      BadRequest  Unauthorized  Forbidden  NotFound  Invalid  Gone
      Conflict    (a precondition or resourceVersion did not hold: read again)
        AlreadyExists
      Unavailable (the server or the way to it failed: try again; the outcome of a write is unknown)
        TooManyRequests (nothing was done; `retry_after` says when to come back)
        RequestTimeout
    ConfigurationError (no usable kubeconfig or in-cluster account)
    LeaseLost          (this process is no longer the leader and must stop writing)
"""
# ruff: noqa: N818 - class names are the reasons that Kubernetes uses

from __future__ import annotations

import msgspec


class StatusCause(msgspec.Struct, frozen=True):
    """One entry of `details.causes` of a metav1.Status: which field, and what is wrong with it."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(msgspec.Struct, frozen=True, rename="camel"):
    """`details` of a metav1.Status."""

    name: str = ""
    kind: str = ""
    causes: list[StatusCause] | None = None
    retry_after_seconds: int = 0


class Status(msgspec.Struct, frozen=True):
    """A metav1.Status: the body of every failed answer, and the object of a watch's ERROR event."""

    code: int = 0
    reason: str = ""
    message: str = ""
    details: StatusDetails | None = None


class ApiError(Exception):
    """The API server refused a request; `code` is the HTTP status (0: no answer at all), `request` is verb and path."""

    def __init__(self, request: str, status: Status) -> None:
        super().__init__(f"{request}: {status.message or status.reason or 'no reason given'} ({status.code or 'no answer'})")
        self.request = request
        self.status = status
        self.code = status.code
        self.reason = status.reason or type(self).__name__

    @property
    def message(self) -> str:
        """The server's own words."""
        return self.status.message


class BadRequest(ApiError):
    """400: the request is malformed, which is a bug here or a server that is too old."""


class Unauthorized(ApiError):
    """401: the credentials are unknown or have expired."""


class Forbidden(ApiError):
    """403: RBAC or an admission policy says no."""


class NotFound(ApiError):
    """404: no such object, or no such kind (CRD not installed)."""


class Conflict(ApiError):
    """409: a resourceVersion or UID precondition did not hold, or server-side apply met another manager's field."""


class AlreadyExists(Conflict):
    """409 to a create: the name is taken."""


class Gone(ApiError):
    """410: the resourceVersion or continue token is too old; list again."""


class Invalid(ApiError):
    """422: the object breaks its schema or a CEL rule; `message` says which and what to use instead."""


class Unavailable(ApiError):
    """5xx, or no answer: nothing is known about what happened to a write."""


class RequestTimeout(Unavailable):
    """No answer within the call's own time-out."""


class TooManyRequests(Unavailable):
    """429: the server did nothing; `retry_after` is in seconds."""

    @property
    def retry_after(self) -> float:
        """Seconds to wait before the next attempt (at least one)."""
        return float(max(1, self.status.details.retry_after_seconds if self.status.details else 1))


class ConfigurationError(Exception):
    """There is no way to reach an API server: kubeconfig and in-cluster account are missing or malformed."""


class LeaseLost(Exception):
    """The leader's Lease was not renewed in time or has another holder; the process must end."""


BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_of(request: str, status: Status) -> ApiError:
    """The exception for a failed answer."""
    if status.code == 409 and status.reason == "AlreadyExists":
        return AlreadyExists(request, status)
    causes = status.details.causes if status.details else None
    if status.code == 422 and any(cause.field == "metadata.uid" for cause in causes or ()):
        return Conflict(request, status)  # kube-apiserver 1.35 answers a patch with another UID so: "field is immutable"
    known = BY_CODE.get(status.code)
    if known is not None:
        return known(request, status)
    return (Unavailable if status.code >= 500 or status.code == 0 else ApiError)(request, status)
