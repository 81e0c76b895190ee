"""What a session on S3 is set to, of the variables that the other engines read."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from jobs.runtime.jars import LOG_STORE_JAR
from jobs.runtime.stores import LOG_STORE, S3A, needs_s3, s3_settings

ROOT = Path(__file__).parents[3]


def test_a_lake_or_a_source_on_s3_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAKEALBUM_S3", raising=False)
    assert needs_s3(["/lake", "s3://bucket/photos"])
    assert not needs_s3(["/lake", "gs://bucket/photos"])
    monkeypatch.setenv("LAKEALBUM_S3", "1")
    assert needs_s3(["/lake"])


def test_hadoop_answers_to_either_scheme_and_nothing_else_is_set() -> None:
    assert s3_settings({"PATH": "/bin"}) == {
        "spark.hadoop.fs.s3.impl": S3A,
        "spark.hadoop.delta.enableFastS3AListFrom": "true",
    }


def test_endpoint_region_and_style_are_those_of_the_other_engines() -> None:
    found = s3_settings({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000", "AWS_REGION": "eu-west-1"})
    assert found["spark.hadoop.fs.s3a.endpoint"] == "http://127.0.0.1:9000"
    assert found["spark.hadoop.fs.s3a.endpoint.region"] == "eu-west-1"
    assert found["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert found["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "false"
    hosted = {"AWS_ENDPOINT_URL_S3": "https://s3.example", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"}
    assert s3_settings(hosted)["spark.hadoop.fs.s3a.path.style.access"] == "false"
    assert s3_settings(hosted)["spark.hadoop.fs.s3a.connection.ssl.enabled"] == "true"


def test_python_workers_get_the_credentials() -> None:
    given = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_EC2_METADATA_DISABLED": "true", "HOME": "/"}
    found = {
        name
        for name in s3_settings({**given, "AWS_CONFIG_FILE": "/home/me/config"})
        if name.startswith("spark.executorEnv.")
    }
    assert found == {f"spark.executorEnv.{name}" for name in given if name != "HOME"}


def test_the_log_store_is_made_of_its_source() -> None:
    """`java/build` puts the source beside the class; .ci/s3.sh compiles it again and compares."""
    name = f"{LOG_STORE.replace('.', '/')}.java"
    with zipfile.ZipFile(LOG_STORE_JAR) as jar:
        assert jar.read(name) == Path(ROOT, "java", name).read_bytes(), "run java/build"
        assert name.replace(".java", ".class") in jar.namelist()
