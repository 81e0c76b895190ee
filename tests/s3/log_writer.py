"""A process that makes entries of a Delta log through the store of `java/`: `log_writer.py LOG NAME ENTRIES`.

It makes so many, each as the next version that is free, and each says NAME and its number. It prints the versions of
which it was told that it made them, one a line, after `ready` and once a line comes on stdin.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark import SparkContext
from pyspark.conf import SparkConf

from jobs.runtime.jars import jar_settings
from jobs.runtime.stores import s3_settings


def main(log: str, name: str, entries: int) -> None:
    """Makes its entries."""
    conf = SparkConf(loadDefaults=False)
    conf.setAll(list(jar_settings(geometry=False, s3=True).items()))
    SparkContext._ensure_initialized(conf=conf)
    jvm = SparkContext._jvm
    assert jvm is not None
    hadoop = jvm.org.apache.hadoop.conf.Configuration()
    prefix = "spark.hadoop."
    for key, value in s3_settings(os.environ).items():
        if key.startswith(prefix):
            hadoop.set(key.removeprefix(prefix), value)
    store = jvm.lakealbum.ConditionalS3LogStore(hadoop)
    print("ready", flush=True)
    sys.stdin.readline()
    version = 0
    for number in range(entries):
        while not put(jvm, store, hadoop, f"{log}/{version:020}.json", f"{name} {number}"):
            newest = list(store.listFrom(jvm.org.apache.hadoop.fs.Path(f"{log}/{version:020}.json"), hadoop))[-1]
            version = int(newest.getPath().getName().removesuffix(".json")) + 1
        print(version, flush=True)
        version += 1


def put(jvm: Any, store: Any, hadoop: Any, path: str, entry: str) -> bool:
    """Whether the entry of a log was made; another's may be there."""
    actions = jvm.java.util.ArrayList()
    actions.add(entry)
    try:
        store.write(jvm.org.apache.hadoop.fs.Path(path), actions.iterator(), False, hadoop)
    except Py4JJavaError as error:
        if "FileAlreadyExistsException" not in error.java_exception.getClass().getName():
            raise
        return False
    return True


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
