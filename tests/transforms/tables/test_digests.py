"""Ids and digests of rows: against hashlib, and against Spark."""

from __future__ import annotations

import doctest
import hashlib

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.runtime.lake import bucket
from schemas.lake import bucket_of, file_object_id
from transforms.tables import digests
from transforms.tables.digests import sha256_of, with_bucket, xxhash64

FLOATS = pa.list_(pa.float32())
LISTS = [[0.5], None, [], [0.0], [-0.0], [float("nan")], [1e-40, -3.0, 7.25], [1.0] * 300, [float("inf"), 2.0], [2.0]]


def test_examples() -> None:
    assert doctest.testmod(digests) == (0, 5)


def test_texts_are_joined_by_line_feeds_and_nulls_left_out() -> None:
    rows = pa.table(
        {"a": ["x", None, "é", ""], "b": pa.array([1, 2, None, 3], pa.int32()), "c": ["p", "q", None, None]}
    )
    rows = pa.concat_tables([rows.slice(0, 1), rows.slice(1)])
    told = ["x\n1\np", "2\nq", "é", "\n3"]
    assert sha256_of(rows, "abc").to_pylist() == [hashlib.sha256(text.encode()).hexdigest() for text in told]
    assert sha256_of(rows.slice(0, 0), "abc").to_pylist() == []
    file = {"project_name": ["demo"], "dataset_name": ["ada"], "uri": ["s3://b/ü.jpg"]}
    assert sha256_of(pa.table(file), [*file]).to_pylist() == [file_object_id("demo", "ada", "s3://b/ü.jpg")]


def test_texts_may_be_no_valid_utf8() -> None:
    text = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff1")]
    )
    assert sha256_of(pa.table({"row": text}), ["row"]).to_pylist() == [hashlib.sha256(b"\xff1").hexdigest()]


def test_buckets_are_those_of_datasets() -> None:
    names = ["ada", "ben", None, "ada", "ünal"]
    rows = with_bucket(pa.table({"project_name": ["demo"] * 5, "dataset_name": names}), 16)
    assert rows["bucket"].to_pylist() == [bucket_of("demo", name, 16) for name in names]
    assert rows.schema.field("bucket").type == pa.int32()
    assert with_bucket(rows.slice(0, 0), 16).num_rows == 0


def test_spark_computes_the_same(spark: SparkSession) -> None:
    schema = "project_name string, dataset_name string, numbers array<float>"
    rows = [("demo", [None, "ada", "ünal"][place % 3], numbers) for place, numbers in enumerate(LISTS)]
    key = F.concat_ws("\n", "project_name", "dataset_name")
    told = spark.createDataFrame(rows, schema).select("*", bucket(16).alias("bucket"), F.sha2(key, 256).alias("digest"))
    found = told.withColumn("hash", F.xxhash64("numbers")).toArrow()
    parts = pa.concat_tables([found.slice(0, 4), found.slice(4)])
    assert xxhash64(parts["numbers"]).view(np.int64).tolist() == found["hash"].to_pylist()
    assert with_bucket(parts, 16)["bucket"].to_pylist() == found["bucket"].to_pylist()
    assert sha256_of(parts, ("project_name", "dataset_name")).to_pylist() == found["digest"].to_pylist()
