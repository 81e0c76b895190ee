"""What people say of when and where files were taken, over what sources say."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from transforms.places.corrections import CORRECTED, correct_files, fold_corrections

EDITS = (
    "sequence long, project_name string, dataset_name string, object_id string, produce_time timestamp, "
    "time_is string, utc_offset int, latitude double, longitude double, "
    "address struct<country:string,province:string,city:string,district:string,township:string>, "
    "taken_back array<string>"
)
FILES = EDITS.replace("sequence long", "uri string").replace(", taken_back array<string>", "")
THEN, LATER = datetime(2020, 5, 1, 12), datetime(2021, 6, 2, 9)


def edit(sequence: int, file: str, *, back: tuple[str, ...] = (), **said: Any) -> tuple[Any, ...]:
    names = ("produce_time", "time_is", "utc_offset", "latitude", "longitude", "address")
    return (sequence, "demo", "ada", file, *(said.get(name) for name in names), list(back))


def corrected(spark: SparkSession, *edits: tuple[Any, ...]) -> dict[str, Any]:
    """What becomes of a file `a` taken THEN in Rome at 41.9, 12.5, by its address."""
    rome = ("Italy", None, "Rome", None, None)
    files = spark.createDataFrame([("a.jpg", "demo", "ada", "a", THEN, "offset", 60, 41.9, 12.5, rome)], FILES)
    corrections = spark.createDataFrame(list(edits), EDITS).transform(fold_corrections)
    (row,) = correct_files(files, corrections=corrections).withColumn("city", F.col("address.city")).collect()
    return {**row.asDict(), "address": row["address"] and row["address"].asDict()}


def test_the_last_word_on_time_and_on_place_holds(spark: SparkSession) -> None:
    file = corrected(
        spark,
        edit(3, "a", produce_time=LATER, time_is="local"),
        edit(2, "a", produce_time=THEN, time_is="instant", latitude=1.0, longitude=2.0),
        edit(4, "b", latitude=5.0, longitude=6.0),
    )
    assert (file["produce_time"], file["time_is"], file["utc_offset"]) == (LATER, "local", None)
    assert (file["latitude"], file["longitude"], file["city"], file[CORRECTED]) == (1.0, 2.0, None, True)


def test_what_is_taken_back_is_the_sources_again(spark: SparkSession) -> None:
    file = corrected(
        spark,
        edit(1, "a", produce_time=LATER, time_is="local", address=(None, None, "Kyoto", None, None)),
        edit(2, "a", back=("time",)),
    )
    assert (file["produce_time"], file["time_is"], file["utc_offset"]) == (THEN, "offset", 60)
    assert (file["latitude"], file["city"], file[CORRECTED]) == (None, "Kyoto", True)


def test_edits_of_other_things_change_nothing(spark: SparkSession) -> None:
    file = corrected(spark, edit(1, "a", back=("custom_id",)), edit(2, "b", produce_time=LATER, time_is="local"))
    assert (file["produce_time"], file["latitude"], file["city"], file[CORRECTED]) == (THEN, 41.9, "Rome", False)
