"""What a caller is told when a request is refused: IMM's codes and statuses (imm-wire, section 10)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.errors import Conflict, LakeAlbumError, NotFound, UsageError


class ApiError(Exception):
    """A refusal: a code that programs read, a status, and a message that people read.

    `detail` becomes AccessDeniedDetail. `retry_after_ms` asks the caller to wait before the next try.
    """

    def __init__(
        self,
        code: str,
        message: str,
        status: int = 400,
        *,
        detail: Mapping[str, str] | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.status = code, message, status
        self.detail, self.retry_after_ms = detail, retry_after_ms

    def body(self, request_id: str, host: str) -> dict[str, Any]:
        """The answer's document: the five fields that the SDK and its samples read."""
        document = {
            "Code": self.code,
            "Message": self.message,
            "RequestId": request_id,
            "HostId": host,
            "Recommend": f"https://api.aliyun.com/troubleshoot?q={self.code}&product=imm&requestId={request_id}",
        }
        return document | ({"AccessDeniedDetail": dict(self.detail)} if self.detail else {})


def invalid(message: str) -> ApiError:
    """A value of a wrong form, or out of range."""
    return ApiError("InvalidArgument", message)


def not_found(kind: str, name: str) -> ApiError:
    """A resource (Project, Dataset, File ...) that is not there."""
    return ApiError("ResourceNotFound", f"The specified resource {kind} is not found. Asked for was {name}.", 404)


def already_exists(kind: str, name: str) -> ApiError:
    """A resource whose name is taken."""
    return ApiError("ResourceAlreadyExists", f"The specified resource {kind} already exists: {name}.", 409)


def status_conflict(message: str) -> ApiError:
    """A resource that is not in the state that the operation needs."""
    return ApiError("StatusConflict", message)


def unsupported(operation: str, instead: str = "") -> ApiError:
    """An operation, or a form of one, that IMM has and this endpoint has not."""
    message = f"{operation} is not supported by this endpoint; its page endpoint.md lists what is. {instead}"
    return ApiError("UnsupportedOperation", message.strip())


def too_many(what: str, count: int, most: int) -> ApiError:
    """More elements than accepted."""
    return ApiError("LimitExceededError", f"{what} has {count:,} elements; up to {most:,} are accepted.")


def api_error(error: LakeAlbumError) -> ApiError:
    """What a caller is told of an error of the catalog."""
    match error:
        case UsageError():
            return ApiError(error.code, str(error))
        case NotFound():
            return ApiError("ResourceNotFound", f"The specified resource is not found. {error}", 404)
        case Conflict():
            return status_conflict(str(error))
        case _:
            return ApiError("InternalError", "The lake cannot answer; the server's log says why.", 500)
