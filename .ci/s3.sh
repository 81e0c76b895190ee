#!/usr/bin/env bash
# What needs an S3 server or Spark's jars for S3: the tests of tests/s3, and whether conf/jars is what java/ compiles to.
# Not a part of .ci/run: where they are missing, it builds versitygw with Go (minutes), and gets the jars with Maven.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

version=v1.8.0
bin=$HOME/.cache/lakealbum/bin

if [[ ! -x $bin/versitygw ]] && ! command -v versitygw > /dev/null; then
    command -v go > /dev/null || { echo 'no versitygw, and no Go to build it' >&2; exit 2; }
    GOBIN=$bin go install "github.com/versity/versitygw/cmd/versitygw@$version"
fi
LAKEALBUM_S3=1 ./lakealbum test tests/s3
java/build --check
