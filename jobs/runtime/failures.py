"""Why something failed, in one line: of Spark's and Java's long texts the innermost cause."""

from __future__ import annotations

import re

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException

from schemas import errors
from schemas.errors import LakeAlbumError
from schemas.locations import redact

LONGEST = 1000
_CAUSE = "Caused by: "
_TRACEBACK = "Traceback (most recent call last):"
_FRAMES = re.compile(r"\s*(at |\.\.\. \d+ more|Driver stacktrace:|JVM stacktrace:|$)")
_OURS = re.compile(r"^schemas\.errors\.(\w+): (.*)", re.DOTALL)


def reason_of(error: BaseException) -> str:
    """What an error says, in one line of up to LONGEST characters, without credentials.

    Of an error of a Python worker the last line of its traceback, of any other of Spark or Java the innermost cause, of
    others the first line of their own text.
    """
    text = _innermost(error) if isinstance(error, PySparkException | Py4JJavaError) else str(error).strip()
    lines = text.splitlines() or [type(error).__name__]
    return redact(lines[0].strip())[:LONGEST]


def as_ours(error: BaseException) -> LakeAlbumError | None:
    """The error of LakeAlbum that a Python worker raised and Spark wrapped; None where it is another."""
    if not isinstance(error, PySparkException | Py4JJavaError):
        return None
    told = _OURS.match(_innermost(error))
    kind = getattr(errors, told[1], None) if told else None
    if told is None or not isinstance(kind, type) or not issubclass(kind, LakeAlbumError):
        return None
    return kind(told[2].strip())


def _innermost(error: PySparkException | Py4JJavaError) -> str:
    """The innermost cause that the text of an error names, without frames of stacks."""
    text = str(error.java_exception) if isinstance(error, Py4JJavaError) else str(error)
    if isinstance(error, Py4JJavaError):
        text = f"{text}\n{_stack(error)}"
    if _TRACEBACK in text:
        return _last_of_traceback(text.rpartition(_TRACEBACK)[2])
    lines = text.splitlines()
    causes = [number for number, line in enumerate(lines) if line.startswith(_CAUSE)]
    if not causes:
        return text.strip()
    told = [lines[causes[-1]].removeprefix(_CAUSE)]
    for line in lines[causes[-1] + 1 :]:
        if _FRAMES.match(line):
            break
        told.append(line)
    return "\n".join(told)


def _stack(error: Py4JJavaError) -> str:
    """Java's own text of an error with all causes; empty where the JVM is gone."""
    return str(error).partition("\n")[2]


def _last_of_traceback(text: str) -> str:
    """`package.Error: message`, without the lines of code above it and the frames of Java below."""
    told: list[str] = []
    for line in text.splitlines():
        if _FRAMES.match(line) and told:
            break
        if line and not line.startswith(" "):
            told = [line]
        elif told and line:
            told.append(line)
    return "\n".join(told)
