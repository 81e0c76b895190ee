"""Photos and videos read by processes of this machine, where Spark's tasks are not worth their start.

A process gets a share of the files, as it gets a task's from Spark, and gives the rows of them. What decoders do to it
it does to itself alone. It ends itself where its input ends, so that it outlives nobody.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pyarrow as pa

from schemas.errors import SourceError
from transforms.pictures.files import PICTURE_SCHEMA, Reading, read_batches
from transforms.pictures.listings import cut_listing

LEAST_SHARE = 16
"""Files that are worth a process: they take as long as its start."""
COMMAND = (sys.executable, "-P", "-c", "from transforms.pictures.reader_processes import serve; serve()")


def read_by_processes(pictures: pa.Table, reading: Reading, *, root: str | None = None) -> pa.Table:
    """Rows of PICTURE_SCHEMA of files, as `transforms.pictures.files.read_pictures` has them: a process a core.

    Files of one `shot_group` are read by one process. Raises SourceError as it does, and where a process dies.
    """
    size = max(LEAST_SHARE, -(-len(pictures) // (os.cpu_count() or 1)))
    shares = [*cut_listing(pictures, size=size)]
    with ExitStack() as ending, ThreadPoolExecutor(max(1, len(shares))) as threads:
        children = [_start() for _ in shares]
        for child in children:
            ending.callback(_end, child)
        try:
            answers = threads.map(_ask, children, ((share, reading, root) for share in shares))
            return pa.concat_tables([PICTURE_SCHEMA.empty_table(), *answers])
        finally:
            for child in children:
                child.kill()


def _start() -> subprocess.Popen[bytes]:
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def _end(child: subprocess.Popen[bytes]) -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()
    child.wait()


def _ask(child: subprocess.Popen[bytes], asked: tuple[pa.Table, Reading, str | None]) -> pa.Table:
    to_child, from_child = child.stdin, child.stdout
    assert to_child is not None
    assert from_child is not None
    try:
        pickle.dump(asked, to_child)
        to_child.flush()
        answer = pickle.load(from_child)
    except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
        uris: Sequence[str] = asked[0]["uri"].to_pylist()
        raise SourceError(
            f"a process that read {len(uris):,} files, from {uris[0]} to {uris[-1]}, ended with {child.wait()}; one of "
            "them may be the cause: the same command tries again"
        ) from error
    if isinstance(answer, Exception):
        raise answer
    return answer


def serve() -> None:
    """The child: answers one request."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    pictures, reading, root = pickle.load(requests)
    threading.Thread(target=_end_with_input, args=(requests.fileno(),), daemon=True).start()
    try:
        rows = read_batches(pictures.to_batches(), reading, root)
        answer: pa.Table | Exception = pa.Table.from_batches(rows, PICTURE_SCHEMA)
    except Exception as error:  # the parent's to raise
        answer = error
    pickle.dump(answer, answers)
    answers.flush()


def _end_with_input(requests: int) -> None:
    os.read(requests, 1)
    os._exit(1)
