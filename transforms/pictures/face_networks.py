"""The networks that find faces and tell people apart, run by ONNX Runtime (extra `faces`, imported when used)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pyspark import SparkFiles

from schemas.errors import SourceError, UsageError

if TYPE_CHECKING:
    import onnxruntime

Device = Literal["cpu", "cuda"]
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_ONLY_FATAL = 4  # of its log: initialisers among the inputs of SFace are warned of, one by one


@dataclass(frozen=True)
class DetectorRecipe:
    """How a detector is asked and read: `kind` of answers, pixels of a side, least score, overlap of one face."""

    path: str
    sha256: str
    kind: Literal["yunet", "scrfd"]
    side: int
    least_score: float
    overlap: float


@dataclass(frozen=True)
class EmbedderRecipe:
    """How an embedder is asked: order of colours, then (value - mean) / deviation."""

    path: str
    sha256: str
    colours: Literal["rgb", "bgr"]
    mean: float
    deviation: float


@dataclass(frozen=True)
class FaceRecipe:
    """A family of models, ready to be sent to workers. `model` is what its faces carry, `device` where they run."""

    model: str
    detector: DetectorRecipe
    embedder: EmbedderRecipe
    length: tuple[float, float]
    """Lengths of embeddings of faces that tell nothing, and of clear ones (transforms.pictures.face_quality)."""
    threads: int = 1
    device: Device = "cpu"


@dataclass(frozen=True)
class Boxes:
    """Faces found in one input: boxes (n, 4) as left, top, right, bottom; landmarks (n, 5, 2); scores (n,)."""

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: NDArray[np.float32]

    def __getitem__(self, rows: Any) -> Boxes:
        return Boxes(self.box[rows], self.landmarks[rows], self.score[rows])

    def moved(self, scale: float, left: float, top: float) -> Boxes:
        """The same, in pixels of a picture of which the input is a part: shifted, then divided by `scale`."""
        shift = np.array([left, top], np.float32)
        return Boxes((self.box + np.tile(shift, 2)) / scale, (self.landmarks + shift) / scale, self.score)

    @classmethod
    def join(cls, parts: Sequence[Boxes]) -> Boxes:
        """All of them."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("box", "landmarks", "score")))


class Detector:
    """Finds faces in squares of pixels. Memory: some 60 MB."""

    def __init__(self, recipe: DetectorRecipe, *, threads: int = 1, device: Device = "cpu") -> None:
        self.recipe = recipe
        self._session = _open(recipe, threads, device)
        self._input = self._session.get_inputs()[0].name

    def find(self, pixels: NDArray[np.uint8]) -> Boxes:
        """The faces of a square (side, side, 3) of RGB, in its own pixels; faces may be told twice."""
        answers = [np.asarray(each) for each in self._session.run(None, {self._input: self._blob(pixels)})]
        read = _read_yunet if self.recipe.kind == "yunet" else _read_scrfd
        side, least = self.recipe.side, self.recipe.least_score
        return Boxes.join([read(answers, level, stride, side, least) for level, stride in enumerate((8, 16, 32))])

    def _blob(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self.recipe.kind == "yunet":  # blue, green, red, as they are
            return np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1), np.float32)[None]
        return (np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32)[None] - np.float32(127.5)) / np.float32(128)


def _read_yunet(answers: list[NDArray[Any]], level: int, stride: int, side: int, least: float) -> Boxes:
    """Sources: libfacedetection.train, YuNet; OpenCV's FaceDetectorYN reads the same twelve answers."""
    classes, objects = (np.clip(answers[kind * 3 + level][0, :, 0], 0, 1) for kind in range(2))
    score = np.sqrt(classes * objects)
    at = np.flatnonzero(score >= least)
    box, points = (answers[kind * 3 + level][0, at] for kind in (2, 3))
    cells = _cells(at, side // stride)
    centre, size = (cells + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride
    landmarks = (points.reshape(-1, 5, 2) + cells[:, None]) * stride
    return Boxes(np.concatenate([centre - size / 2, centre + size / 2], axis=1), landmarks, score[at])


def _read_scrfd(answers: list[NDArray[Any]], level: int, stride: int, side: int, least: float) -> Boxes:
    """Source: InsightFace, SCRFD: two anchors a cell; distances to the sides and to the landmarks, in strides."""
    score = answers[level].reshape(-1)
    at = np.flatnonzero(score >= least)
    box, points = (answers[kind * 3 + level].reshape(len(score), -1)[at] for kind in (1, 2))
    centre, sides = _cells(at // 2, side // stride) * stride, box * stride
    landmarks = points.reshape(-1, 5, 2) * stride + centre[:, None]
    return Boxes(np.concatenate([centre - sides[:, :2], centre + sides[:, 2:]], axis=1), landmarks, score[at])


def _cells(at: NDArray[np.integer], columns: int) -> NDArray[np.float32]:
    """Column and row (n, 2) of cells that are numbered row by row."""
    return np.stack([at % columns, at // columns], axis=1).astype(np.float32)


class Embedder:
    """Tells people apart: faces to vectors. Memory: some 100 MB, or four times the model's file."""

    def __init__(self, recipe: EmbedderRecipe, *, threads: int = 1, device: Device = "cpu") -> None:
        self.recipe = recipe
        self._session = _open(recipe, threads, device)
        self._input = self._session.get_inputs()[0].name

    def embed(self, face: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The vector of an aligned face, (112, 112, 3) of RGB; its length is the network's own."""
        planes = face.transpose(2, 0, 1)[None]
        planes = planes if self.recipe.colours == "rgb" else planes[:, ::-1]
        blob = (planes.astype(np.float32) - self.recipe.mean) / self.recipe.deviation
        return np.asarray(self._session.run(None, {self._input: blob})[0], np.float32).reshape(-1)


def _open(recipe: DetectorRecipe | EmbedderRecipe, threads: int, device: Device) -> onnxruntime.InferenceSession:
    try:
        import onnxruntime
    except ImportError as error:
        raise UsageError("--faces needs ONNX Runtime: pip install 'lakealbum[faces]'") from error
    if _PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise UsageError(
            f"faces_device {device!r}: this ONNX Runtime has {', '.join(onnxruntime.get_available_providers())}; "
            "install onnxruntime-gpu in its place, or take cpu"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # Spark has a worker on every core
    return onnxruntime.InferenceSession(_read(recipe), options, providers=[_PROVIDERS[device]])


def _read(recipe: DetectorRecipe | EmbedderRecipe) -> bytes:
    """The file of a network: where the recipe says, or where Spark put it on this worker; checked."""
    path = Path(recipe.path)
    if not path.exists():
        path = Path(SparkFiles.get(path.name))
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != recipe.sha256:
        raise SourceError(f"{path} is not the model that it should be: its SHA-256 is another than {recipe.sha256}")
    return content
