"""IMM's File objects, from JSON text to judged rows."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa

from tests.transforms.sources.test_rows import judge_faces, judge_table, table
from transforms.sources.imm import figures_from_imm, from_imm
from transforms.tables.source_columns import ROW


def texts(rows: list[dict[str, Any]], names: list[str]) -> pa.Table:
    return table(rows, dict.fromkeys(names, pa.string()))


IMM_FILE = {
    "URI": "oss://bucket/1.jpg",
    "DatasetName": "ada",
    "MediaType": "image",
    "Size": "1024",
    "ETag": '"D41D8CD98F00B204E9800998ECF8427E"',
    "ProduceTime": "2021-06-29T14:50:13.011643661+08:00",
    "LatLong": "30.134390,120.074997",
    "Addresses": '[{"Language":"zh-Hans","City":"杭州市"},{"Language":"en-US","Country":"China","City":"Hangzhou"}]',
    "ImageWidth": "4032",
    "Labels": '[{"LabelName":"sea","LabelConfidence":0.9},{"LabelName":"sky"}]',
    "ImageScore": '{"OverallQualityScore":0.71}',
    "EXIF": '{"Make":{"value":"Apple"}}',
    "Figures": '[{"FigureId":"f1","Boundary":{"Left":1,"Top":2,"Width":80,"Height":90},"FaceQuality":0.9,'
    '"HeadPose":{"Yaw":1.5,"Pitch":2,"Roll":-3},"Age":30,"Gender":"Female"},{"FigureId":"f2"}]',
}
IMM_NAMES = list(IMM_FILE)


def test_imm_files() -> None:
    raw = texts([IMM_FILE], IMM_NAMES)
    (row,) = judge_table(from_imm(raw), dataset=None)
    assert row["reason"] is None, row
    assert (row["dataset_name"], row["uri"], row["size"]) == ("ada", "oss://bucket/1.jpg", 1024)
    assert (row["latitude"], row["longitude"], row["utc_offset"]) == (30.13439, 120.074997, 480)
    assert row["produce_time"] == dt.datetime(2021, 6, 29, 6, 50, 13, 11643)
    assert (row["address"]["city"], row["labels"], row["image_score"]) == ("Hangzhou", ["sea", "sky"], 0.71)
    assert (row["file_hash"], row["camera_make"]) == ("D41D8CD98F00B204E9800998ECF8427E", "Apple")
    chinese, other = (from_imm(raw, language=language)["address"][0].as_py() for language in ("zh", "fr"))
    assert chinese == other == '{"city":"杭州市"}'


def test_what_imm_says_and_no_column_holds_is_kept() -> None:
    face = {
        "FigureId": "f",
        "Age": 30,
        "FigureClusterId": "Cluster-1",
        "Emotion": "happiness",
        "EmotionConfidence": 0.75,
    }
    file = {
        "URI": "1.jpg",
        "ObjectId": "x",
        "Size": 7,
        "CustomId": "c-1",
        "CustomLabels": {"season": "spring", "count": 3, "gone": None},
        "ETag": '"0123"',
        "Labels": [{"LabelName": "sea", "LabelConfidence": 0.875}],
        "OCRContents": [],
        "Artist": "",
        "VideoWidth": 1920,
        "OSSUserMeta": {"k": "v"},
        "Figures": [face],
        "NewField": [1.5],
    }
    given = {name: text if isinstance(text, str) else json.dumps(text) for name, text in file.items()}
    raw = texts([given | {ROW: json.dumps(file)}], [*file, ROW])
    (row,) = judge_table(from_imm(raw))
    assert (row["reason"], row["custom_id"]) == (None, "c-1")
    assert row["custom_labels"] == {"season": "spring", "count": "3"}
    kept = ("ETag", "Labels", "VideoWidth", "OSSUserMeta", "NewField")
    assert json.loads(row["attributes"]) == {name: file[name] for name in kept}
    (judged,) = judge_faces(figures_from_imm(raw))
    assert json.loads(judged["attributes"]) == {"Emotion": "happiness", "EmotionConfidence": 0.75}


BROKEN_IMM: list[tuple[str, str | None, str | None]] = [
    ("LatLong", "30.1", "coordinates_incomplete"),
    ("LatLong", "north,east", "latitude_not_a_number"),
    ("LatLong", "1,2,3", "longitude_not_a_number"),
    ("LatLong", "", None),
    ("Addresses", "[", "address_invalid"),
    ("Addresses", "[]", None),
    ("Labels", "[{", "labels_invalid"),
    ("MediaType", "audio", "media_type_unknown"),
    ("URI", None, "uri_missing"),
]


def test_broken_imm_files_are_refused() -> None:
    rows = [
        IMM_FILE | {"URI": f"{n}.jpg", "CustomId": f"{n}", field: text} for n, (field, text, _) in enumerate(BROKEN_IMM)
    ]
    raw = texts(rows, [*IMM_NAMES, "CustomId"])
    judged = judge_table(from_imm(raw), dataset=None)
    reasons = {int(row["custom_id"]): row["reason"] for row in judged}
    assert reasons == {n: reason for n, (*_, reason) in enumerate(BROKEN_IMM)}


def test_imm_figures() -> None:
    rows = [
        IMM_FILE,
        {"URI": "none.jpg", "DatasetName": "ada"},
        {"URI": "bad.jpg", "DatasetName": "ada", "Figures": "[{"},
    ]
    faces = figures_from_imm(texts(rows, IMM_NAMES))
    judged = {row["figure_id"]: row for row in judge_faces(faces, dataset=None)}
    assert set(judged) == {"f1", "f2", None}
    assert judged["f1"]["boundary"] == {"left": 1, "top": 2, "width": 80, "height": 90}
    assert judged["f1"]["head_pose"] == {"yaw": 1.5, "pitch": 2.0, "roll": -3.0}
    assert (judged["f1"]["gender"], judged["f1"]["age"]) == ("female", 30)
    assert (judged["f2"]["boundary"], judged["f2"]["reason"]) == (None, None)
    assert judged[None]["reason"] == "json_malformed"
