#!/usr/bin/env bash
# The jobs on a Spark cluster with the lake on S3: versitygw, Spark standalone with two workers, executors killed, two
# drivers at once, people who edit and an erasure; its tables equal those of a run on one machine
# (tests/cluster/chain.py). Then everything killed at twenty random moments (tests/cluster/kills.py), and two drivers and
# ten editors on one lake for ten minutes (tests/cluster/soak.py). An hour and a half on two cores.
# Not a part of .ci/run. Where they are missing, it builds versitygw with Go, and gets the jars with Maven.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

.ci/versitygw.sh > /dev/null
LAKEALBUM_S3=1 ./lakealbum test --collect-only -q tests/s3 > /dev/null # sets up what is missing
unset SPARK_HOME
export PYTHONSAFEPATH=1 PYTHONPATH=$PWD SPARK_CONF_DIR=$PWD/conf LAKEALBUM_LOG=quiet
export LAKEALBUM_S3=1 LAKEALBUM_JARS=${LAKEALBUM_JARS:-$PWD/.jars}
mkdir -- "$work/chain" "$work/kills" "$work/soak"
"${LAKEALBUM_VENV:-.venv}/bin/python" -m tests.cluster.chain "$work/chain"
"${LAKEALBUM_VENV:-.venv}/bin/python" -m tests.cluster.kills "$work/kills"
"${LAKEALBUM_VENV:-.venv}/bin/python" -m tests.cluster.soak "$work/soak"
