"""Pixels of HEIC pictures, decoded by libheif in a process of its own.

libheif's binding crashes the process on some damaged files (see `transforms.pictures.heif`), and one bad picture must
not take a Spark worker with it.

A request is one byte (`L`, or `C` for colours too), the length of a file (8 bytes, big-endian) and the file; the answer
one byte that says what follows, a length (8 bytes), and that many bytes: `P` a picture (width and height, 4 bytes each,
then its luminances; the same of the one in colour, if that was asked for), `E` an error or `U` what this libheif lacks
(UTF-8 text). The decoder ends itself where its input ends, so that it outlives nobody.
"""

from __future__ import annotations

import io
import os
import resource
import signal
import struct
import subprocess
import sys
from importlib.util import find_spec
from typing import IO, BinaryIO

from PIL import Image

from transforms.pictures.luminance import reduced_colours, reduced_luminance
from transforms.pictures.photos import DECODE_ERRORS

DECODE_SECONDS = 30
"""A decoder that takes longer over a picture ends itself."""
LARGEST_MEMORY = 2**32
"""Bytes of address space that a decoder may take up."""

Decoded = tuple[Image.Image, Image.Image | None]
"""Luminance, and the picture in colour if it was asked for."""

_LACKING = "Unsupported feature", "Support for this compression format"


class HeifDecoder:
    """Decodes HEIC pictures in a child process: started for the first one, replaced if it dies, ended by `close`.

    Memory: some 60 MB for the child, up to `LARGEST_MEMORY` while it decodes; here the reduced picture.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def decode(self, file: BinaryIO, size: int) -> Image.Image | None:
        """The reduced luminance of a file of `size` bytes: the first part of what `decode_with` gives."""
        decoded = self.decode_with(file, size, colours=False)
        return decoded[0] if decoded else None

    def decode_with(self, file: BinaryIO, size: int, *, colours: bool) -> Decoded | None:
        """The reduced luminance (see `transforms.pictures.luminance`) of a file of `size` bytes, turned as displayed.

        With `colours`, the picture itself beside it.

        None where there is no libheif, or it lacks what the picture needs. Raises ValueError where it can't be
        decoded, or the decoder dies of it.
        """
        if find_spec("pi_heif") is None:
            return None
        is_fresh = self._child is None
        try:
            return self._ask(file, size, colours)
        except (BrokenPipeError, EOFError):
            self.close()
        if not is_fresh:  # it may have died of the picture before, or been killed: ask another
            return self.decode_with(file, size, colours=colours)
        raise ValueError(f"the HEIC decoder crashed on it, or took over {DECODE_SECONDS} seconds")

    def close(self) -> None:
        """Ends the child, if there is one, and waits for it."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _ask(self, file: BinaryIO, size: int, colours: bool) -> Decoded | None:
        self._child = self._child or _start()
        to_child, from_child = self._child.stdin, self._child.stdout
        assert to_child is not None
        assert from_child is not None
        file.seek(0)
        to_child.write((b"C" if colours else b"L") + struct.pack(">Q", size))
        for start in range(0, size, 2**20):
            to_child.write(_read_whole(file, min(2**20, size - start)))
        to_child.flush()
        kind = _read_whole(from_child, 1)
        answer = _read_whole(from_child, *struct.unpack(">Q", _read_whole(from_child, 8)))
        if kind == b"P":
            luminance, rest = _unpacked("L", answer)
            return luminance, _unpacked("RGB", rest)[0] if colours else None
        if kind == b"U":
            return None
        raise ValueError(answer.decode())


def _start() -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-P",
        "-c",
        f"from transforms.pictures.heif_decoder import serve; serve({DECODE_SECONDS})",
    ]
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": paths}
    )


def _read_whole(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError(f"{len(data)} of {size} bytes")
    return data


def serve(seconds: int) -> None:
    """The child: answers requests until its input ends, or one takes longer than `seconds`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    if sys.platform == "linux":
        resource.setrlimit(resource.RLIMIT_AS, (LARGEST_MEMORY, LARGEST_MEMORY))
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    while len(head := requests.read(9)) == 9:
        content = _read_whole(requests, *struct.unpack(">Q", head[1:]))
        signal.alarm(seconds)  # unhandled, it ends the process, whatever libheif is at
        kind, answer = _answer(content, colours=head[:1] == b"C")
        signal.alarm(0)
        try:
            answers.write(kind + struct.pack(">Q", len(answer)) + answer)
            answers.flush()
        except BrokenPipeError:  # the parent was ended
            os._exit(1)  # without trying to write the rest


def _answer(content: bytes, *, colours: bool) -> tuple[bytes, bytes]:
    import pi_heif  # may be missing, and is never to be loaded by the parent

    pi_heif.options.DECODE_THREADS = 1  # Spark has a worker on every core
    try:
        picture = pi_heif.open_heif(io.BytesIO(content)).to_pillow()
        answer = _packed(reduced_luminance(picture)) + (_packed(reduced_colours(picture)) if colours else b"")
    except DECODE_ERRORS as error:
        text = " ".join(str(error).split()) or type(error).__name__
        return b"U" if any(lack in text for lack in _LACKING) else b"E", text.encode("utf-8", "backslashreplace")
    return b"P", answer


def _packed(picture: Image.Image) -> bytes:
    return struct.pack(">II", *picture.size) + picture.tobytes()


def _unpacked(mode: str, answer: bytes) -> tuple[Image.Image, bytes]:
    """The first of some packed pictures, and the rest."""
    width, height = struct.unpack(">II", answer[:8])
    end = 8 + width * height * len(mode)
    return Image.frombytes(mode, (width, height), answer[8:end]), answer[end:]
