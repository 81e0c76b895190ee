"""Files of a source through the file systems that Spark knows: those that this process cannot open by itself."""

from __future__ import annotations

from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from jobs.runtime.failures import reason_of
from jobs.sources.files_here import Listing


def list_files(spark: SparkSession, uri: str) -> Listing:
    """The files under `uri`, by Spark's rule (`files_here.list_files`), without their roots.

    They are held on the driver, as Spark holds them itself to read them. Raises OSError where they can't be listed.
    """
    try:
        listing = spark.read.format("binaryFile").option("recursiveFileLookup", True).load(uri)
        return Listing({row["path"]: row["length"] for row in listing.select("path", "length").sort("path").collect()})
    except (PySparkException, Py4JJavaError) as error:
        raise OSError(reason_of(error)) from error


def read_head(spark: SparkSession, file: str, size: int) -> bytes:
    """The first bytes of a file. Raises OSError where they can't be read."""
    jvm: Any = spark._jvm
    path = jvm.org.apache.hadoop.fs.Path(file)
    try:
        stream = _file_system(spark, path).open(path)
        try:
            bounded = jvm.org.apache.commons.io.input.BoundedInputStream(stream, size)
            return bytes(jvm.org.apache.commons.io.IOUtils.toByteArray(bounded))
        finally:
            stream.close()
    except Py4JJavaError as error:
        raise OSError(reason_of(error)) from error


def has_folder(spark: SparkSession, uri: str, name: str) -> bool:
    """Whether there is a folder, or a file, of that name in the one at `uri`. Raises OSError where none can tell."""
    jvm: Any = spark._jvm
    try:
        path = jvm.org.apache.hadoop.fs.Path(uri, name)
        return bool(_file_system(spark, path).exists(path))
    except Py4JJavaError as error:
        raise OSError(reason_of(error)) from error


def delta_bytes(spark: SparkSession, uri: str) -> int:
    """How many bytes a Delta table's files have. Raises OSError where there is no table."""
    try:
        detail = spark.sql("DESCRIBE DETAIL delta.`" + uri.replace("`", "``") + "`").first()
        return int(detail.sizeInBytes)  # type: ignore[union-attr]
    except (PySparkException, Py4JJavaError) as error:
        raise OSError(reason_of(error)) from error


def _file_system(spark: SparkSession, path: Any) -> Any:
    session: Any = spark._jsc
    return path.getFileSystem(session.hadoopConfiguration())
