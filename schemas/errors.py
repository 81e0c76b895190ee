"""The errors that LakeAlbum raises on purpose. Each names the thing, the value, and what is accepted."""

import signal


class LakeAlbumError(Exception):
    """Base of all errors that a user can act on; the command line prints its text without a traceback."""

    code = "Error"
    exit_code = 1


class UsageError(LakeAlbumError):
    """An option, configuration or argument is wrong; nothing has been started."""

    code = "InvalidArgument"
    exit_code = 2


class LimitExceeded(UsageError):
    """More of something is asked for than is accepted at once."""

    code = "LimitExceededError"


class LakeError(LakeAlbumError):
    """The lake is missing, of an unknown version, or lacks a table."""

    code = "InvalidLake"


class SourceError(LakeAlbumError):
    """A source cannot be read at all, or lacks what every row needs."""

    code = "InvalidSource"


class DiskError(LakeAlbumError):
    """What a job works on does not fit the folder for temporary files."""

    code = "DiskError"


class SchemaMismatch(LakeAlbumError):
    """A frame or table differs from its contract; the message lists every difference."""

    code = "SchemaMismatch"


class NotFound(LakeAlbumError):
    """A cluster, task, dataset or file that was named does not exist."""

    code = "ResourceNotFound"


class Conflict(LakeAlbumError):
    """Another run or edit changed the same table first; whoever catches it reads again and starts over."""

    code = "Conflict"


class Cancelled(BaseException):
    """SIGTERM or SIGINT ended a run. No `except Exception` may take it for a failure and go on."""

    code = "Cancelled"

    def __init__(self, came: signal.Signals) -> None:
        super().__init__(f"cancelled by {came.name}")
        self.exit_code = 128 + came
        """What a shell shows of a process that a signal ended."""
