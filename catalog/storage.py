"""Where object-store credentials and options come from: the environment, for every engine alike."""

from __future__ import annotations

import os
import re

from schemas.locations import redact

# delta-rs works with as many threads as there are cores. One of them waits while rows are computed that it writes
# (jobs.runtime.commits), for which it reads: with a single thread for ever.
os.environ["TOKIO_WORKER_THREADS"] = str(max(4, int(os.environ.get("TOKIO_WORKER_THREADS") or os.cpu_count() or 1)))

PREFIX = "LAKEALBUM_STORAGE_"
_ANSWER = re.compile(r"<Code>([^<]*)</Code>\s*(?:<Message>([^<]*)</Message>)?")


def storage_options(root: str) -> dict[str, str] | None:
    """delta-rs options for a lake: LAKEALBUM_STORAGE_<NAME> gives option <name>; none for a local directory.

    delta-rs reads the usual variables (AWS_*, AZURE_*, GOOGLE_*) from the environment by itself.
    """
    if "://" not in root:
        return None
    return {key[len(PREFIX) :].lower(): value for key, value in os.environ.items() if key.startswith(PREFIX)}


def store_reason(error: BaseException) -> str:
    r"""Why a store could not be reached, or refused something, in one line: its own answer, else the innermost cause.

    >>> store_reason(OSError("Generic S3 error\n -> <Error><Code>NoSuchBucket</Code><Message>None.</Message></Error>"))
    'NoSuchBucket: None.'
    """
    if answer := _ANSWER.search(str(error)):
        return ": ".join(filter(None, answer.groups()))
    told = (re.sub(r"^[\W_]+", "", line).strip() for line in str(error).splitlines())
    lines = [line for line in told if line] or [type(error).__name__]
    return redact("; ".join(dict.fromkeys((lines[0], lines[-1]))))[:500]
