"""The door: what every request passes before an operation sees it, and how its answer is made.

In this order: signature, date, nonce; operation; parameters; policy; existence. Policy comes before existence, so that
a stranger does not learn what is there.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from catalog.lake import Lake
from catalog.projects import Namespaces
from schemas.errors import UsageError
from serve.errors import ApiError, not_found, unsupported
from serve.keys import Key, KeyFile
from serve.nonces import Nonces
from serve.operations.known import KNOWN
from serve.operations.parameters import parse_parameters
from serve.operations.registry import Context, Fields, Operation, Params
from serve.policies import Circumstances, judge
from serve.queue import Queue
from serve.signature import Authorization, SignedRequest, verify
from serve.wire import merge_parameters

VERSION = "2020-09-30"


@dataclass
class Visit:
    """One request on its way: who came for what. The access log tells of it; it has no secrets."""

    request_id: str = field(default_factory=lambda: str(uuid.uuid4()).upper())
    key_id: str = ""
    action: str = ""
    project: str = ""
    dataset: str = ""
    code: str = ""


@dataclass(frozen=True)
class Admitted:
    """A request that may be carried out: its operation, its parameters, and who asks."""

    operation: Operation
    params: Params
    key: Key
    now: datetime


@dataclass(frozen=True)
class Door:
    """What a server lets requests in with, and what it serves."""

    lake: Lake
    namespaces: Namespaces
    queue: Queue
    keys: KeyFile
    nonces: Nonces
    operations: Mapping[str, Operation]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def admit(self, request: SignedRequest, *, peer: str, secure: bool, visit: Visit) -> Admitted:
        """Checks all that needs no look into the lake. Raises ApiError for a request that is refused."""
        now = self.clock()
        key = self._authenticate(request, now, visit)
        operation = self._find_operation(request, visit)
        raw = merge_parameters(list(request.query), request.header("content-type"), request.body)
        params = parse_parameters(operation.parameters, raw)
        visit.project, visit.dataset = params.get("ProjectName", ""), params.get("DatasetName", "")
        self._authorise(key, operation, params, Circumstances(_address(peer), secure, now))
        return Admitted(operation, params, key, now)

    def carry_out(self, admitted: Admitted, visit: Visit) -> tuple[Fields, Sequence[Future[None]]]:
        """The operation's fields, and what must be durable before they are told. Raises ApiError."""
        operation, params = admitted.operation, admitted.params
        self._check_existence(operation, visit)
        context = Context(
            self.lake,
            self.namespaces,
            self.queue,
            admitted.now,
            visit.request_id,
            admitted.key.owner,
            visit.project,
            visit.dataset,
        )
        return operation.function(context, params), context.durable

    def _authenticate(self, request: SignedRequest, now: datetime, visit: Visit) -> Key:
        authorization = Authorization.of(request)
        try:
            key = self.keys.get(authorization.key_id)
        except UsageError as error:
            raise ApiError(
                "ServiceUnavailable", "The server cannot check access keys; its log says why.", 503
            ) from error
        if key is None:
            raise ApiError("InvalidAccessKeyId.NotFound", "Specified access key is not found.", 404)
        visit.key_id = key.key_id
        if not key.enabled:
            raise ApiError("InvalidAccessKeyId.Inactive", "Specified access key is disabled.")
        verify(request, authorization, key.secret, now=now, use_nonce=self.nonces.use)
        if request.header("x-acs-security-token"):
            raise ApiError("InvalidAccessKeyId.NotFound", "Keys of security tokens are not known here.", 404)
        return key

    def _find_operation(self, request: SignedRequest, visit: Visit) -> Operation:
        version, action = request.header("x-acs-version"), request.header("x-acs-action") or ""
        visit.action = action[:100]
        if version != VERSION:
            raise ApiError("NoSuchVersion", f"Specified version {version!r} is not found; {VERSION} is accepted.")
        found = self.operations.get(action)
        if found is None:
            if action in KNOWN:
                raise unsupported(action)
            raise ApiError("InvalidApi.NotFound", f"Specified api {action[:100]!r} is not found.", 404)
        if request.method == "GET" and not found.by_get:
            raise ApiError("UnsupportedHTTPMethod", f"{action} takes POST alone.", 405)
        return found

    def _authorise(self, key: Key, operation: Operation, params: Params, about: Circumstances) -> None:
        resource = operation.resource(params, key.owner)
        verdict = judge(key.statements, operation.action, resource, about)
        if verdict != "Allow":
            raise ApiError(
                "Forbidden.RAM",
                f"User not authorized to operate on the specified resource: {operation.action} on {resource}.",
                403,
                detail={
                    "AuthAction": operation.action,
                    "AuthPrincipalType": "SubUser",
                    "AuthPrincipalOwnerId": key.owner,
                    "AuthPrincipalDisplayName": key.key_id,
                    "EncodedDiagnosticMessage": "",
                    "NoPermissionType": verdict,
                    "PolicyType": "AccountLevelIdentityBasedPolicy",
                },
            )

    def _check_existence(self, operation: Operation, visit: Visit) -> None:
        if operation.level == "projects" or (operation.need_not_exist and operation.level == "project"):
            return
        if self.namespaces.project(visit.project) is None:
            raise not_found("Project", visit.project)
        if operation.need_not_exist or not visit.dataset:
            return
        if not self.namespaces.dataset(visit.project, visit.dataset):
            raise not_found("Dataset", visit.dataset)


def answer(fields: Fields, request_id: str) -> dict[str, Any]:
    """The document of an answer."""
    return {"RequestId": request_id, **fields}


def _address(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(peer)
    except ValueError:
        return None


def check_method(method: str) -> None:
    """Raises ApiError for a method that no operation takes."""
    if method not in ("GET", "POST"):
        raise ApiError("UnsupportedHTTPMethod", f"The method {method[:20]} is not supported; POST is.", 405)


def check_path(path: str) -> None:
    """Raises ApiError for a path that nothing is at."""
    if path not in ("", "/"):
        raise ApiError("InvalidApi.NotFound", f"There is nothing at {path[:200]!r}; operations are at /.", 404)
