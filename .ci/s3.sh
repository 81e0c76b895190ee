#!/usr/bin/env bash
# What needs an S3 server or Spark's jars for S3: the tests of tests/s3, and whether conf/jars is what java/ compiles to.
# Not a part of .ci/run: where they are missing, it builds versitygw with Go (minutes), and gets the jars with Maven.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

.ci/versitygw.sh > /dev/null
LAKEALBUM_S3=1 ./lakealbum test tests/s3 --slow
java/build --check
