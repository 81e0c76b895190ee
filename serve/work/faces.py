"""Faces of pictures that callers ask about: found in a process of its own, which the networks stay loaded in.

A picture that ends the process ends nothing else. A line of JSON goes in for each picture, one comes out.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from typing import Any

from schemas.errors import LakeAlbumError, NotFound, UsageError

LONGEST_SECONDS = 25.0
"""How long a picture may take: less than the server's limit of an answer."""


class FaceFinder:
    """The process that finds faces, started when the first picture comes, and again after one that it did not survive.

    One picture after the other: the networks take what cores there are.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def find(self, uri: str, family: str) -> list[dict[str, Any]]:
        """`boundary` and `embedding` of the faces of a picture, by a family of models.

        Raises NotFound where there is no such file, UsageError for one that faces cannot be looked for in.
        """
        with self._lock:
            answer = self._ask(json.dumps({"uri": uri, "family": family}))
        if "faces" in answer:
            return list(answer["faces"])
        raise (NotFound if answer["kind"] == "NotFound" else UsageError)(answer["message"])

    def close(self) -> None:
        """Ends the process."""
        with self._lock:
            self._end()

    def _ask(self, line: str) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Timer(LONGEST_SECONDS, process.kill)
        late.start()
        try:
            print(line, file=process.stdin, flush=True)
            answered = process.stdout.readline()
        except OSError:
            answered = ""
        finally:
            late.cancel()
        if not answered:
            self._end()
            raise UsageError("looking for faces takes too long, or more memory than there is")
        answer: dict[str, Any] = json.loads(answered)
        return answer

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "serve.work.faces"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self._process

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        self._process.wait()
        self._process = None


def answer(line: str) -> str:
    """What the process answers to a line."""
    from jobs.people.looking import faces_of_picture

    asked = json.loads(line)
    try:
        faces = faces_of_picture(asked["uri"], asked["family"])
    except LakeAlbumError as error:
        return json.dumps({"kind": type(error).__name__, "message": str(error)})
    return json.dumps({"faces": [{name: face[name] for name in ("boundary", "embedding")} for face in faces]})


def main() -> None:
    """Answers until the server hangs up."""
    for line in sys.stdin:
        print(answer(line), flush=True)


if __name__ == "__main__":
    main()
