"""`heif_decoder`: a libheif that crashes, hangs, prints or lacks something, and the real one on samples."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests.transforms.pictures.test_perceptual_hashes import PHOTOS, needs_photos
from transforms.pictures import heif_decoder
from transforms.pictures.heif_decoder import HeifDecoder

FAKE = """
import io, os, time
from types import SimpleNamespace
from PIL import Image

options = SimpleNamespace()

def open_heif(file):
    match file.read():
        case b"crash":
            os.abort()
        case b"hang":
            time.sleep(60)
        case b"greedy":
            return bytes(2**40)
        case b"broken":
            raise ValueError("Invalid input:\\n no 'pict'\\udcff")
        case b"lacking":
            raise RuntimeError("Error while loading plugin: Support for this compression format has not been built in")
        case size:
            print("a warning on standard output", flush=True)
            return SimpleNamespace(to_pillow=lambda: Image.new("RGB", (len(size), 3), (90, 90, 90)))
"""


@pytest.fixture
def decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HeifDecoder]:
    """A decoder whose libheif does as the file says."""
    (tmp_path / "pi_heif.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    made = HeifDecoder()
    yield made
    made.close()


def decode(decoder: HeifDecoder, content: bytes) -> Image.Image | None:
    return decoder.decode(io.BytesIO(content), len(content))


def process(decoder: HeifDecoder) -> subprocess.Popen[bytes]:
    assert decoder._child is not None
    return decoder._child


def test_one_child_serves_until_it_is_closed(decoder: HeifDecoder) -> None:
    assert decoder._child is None
    sizes = [found.size for width in (5, 3_000_000) if (found := decode(decoder, b"x" * width))]
    assert sizes == [(5, 3), (3_000_000, 3)]
    child = process(decoder)
    with pytest.raises(ValueError, match="Invalid input: no 'pict'"):
        decode(decoder, b"broken")
    with pytest.raises(ValueError, match="MemoryError"):
        decode(decoder, b"greedy")
    assert decode(decoder, b"lacking") is None
    assert process(decoder) is child
    decoder.close()
    assert child.returncode == -signal.SIGKILL
    decoder.close()


@pytest.mark.long
def test_a_crash_is_the_pictures_fault_and_no_other_suffers(decoder: HeifDecoder) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="crashed"):
            decode(decoder, b"crash")
        assert decoder._child is None
        assert decode(decoder, b"good") is not None


def test_a_killed_child_is_replaced(decoder: HeifDecoder) -> None:
    assert decode(decoder, b"good") is not None
    child = process(decoder)
    os.kill(child.pid, signal.SIGKILL)
    assert decode(decoder, b"good" * 2**20) is not None
    assert process(decoder).pid != child.pid
    assert child.returncode == -signal.SIGKILL


@pytest.mark.long
def test_a_child_that_hangs_ends_itself(decoder: HeifDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif_decoder, "DECODE_SECONDS", 1)
    with pytest.raises(ValueError, match="took over 1 seconds"):
        decode(decoder, b"hang")


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    (tmp_path / "pi_heif.py").write_text(FAKE)
    code = (
        "import io, os\nfrom transforms.pictures.heif_decoder import HeifDecoder\n"
        "decoder = HeifDecoder()\ndecoder.decode(io.BytesIO(b'good'), 4)\n"
        "print(decoder._child.pid, flush=True)\nos._exit(0)"
    )
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path), os.getcwd()])
    told = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths}, stdout=subprocess.PIPE, check=True
    )
    child = Path(f"/proc/{int(told.stdout)}/stat")
    for _ in range(100):
        if not child.exists() or child.read_text().rpartition(")")[2].split()[0] == "Z":  # nobody's, not yet collected
            return
        signal.sigtimedwait([], 0.1)
    pytest.fail("the child outlives its parent")


def test_nothing_is_started_without_libheif(decoder: HeifDecoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heif_decoder, "find_spec", lambda name: None)
    assert decode(decoder, b"good") is None
    assert decoder._child is None


@needs_photos
def test_damaged_samples_never_end_the_parent() -> None:
    content = (PHOTOS / "exif-samples/heic/samplefilehub.heif").read_bytes()
    luck, decoder, outcomes = random.Random(1), HeifDecoder(), set()
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(luck.randint(1, 20)):
            damaged[luck.randrange(luck.choice([1000, len(damaged)]))] = luck.randrange(256)
        try:
            found = decode(decoder, bytes(damaged))
        except ValueError as error:
            outcomes.add(str(error))
        else:
            assert found is None or found.mode == "L"
    whole = decode(decoder, content)
    decoder.close()
    assert whole is not None
    assert whole.size == (640, 426)
    assert outcomes
