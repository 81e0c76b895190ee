#!/usr/bin/env bash
# The jobs on YARN with the lake on HDFS, both of this machine: their tables equal those of a run in one process
# (tests/hdfs/chain.py). Ten minutes on two cores. Not a part of .ci/run: it gets Hadoop's mini cluster with Maven.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

hadoop=3.4.1 # as in PySpark
jars=(
    "org.apache.hadoop:hadoop-client-minicluster:$hadoop"
    org.bouncycastle:bcprov-jdk18on:1.78.1
    org.bouncycastle:bcpkix-jdk18on:1.78.1
    org.bouncycastle:bcutil-jdk18on:1.78.1
    junit:junit:4.13.2
    org.hamcrest:hamcrest-core:1.3
    javax.xml.bind:jaxb-api:2.3.1
    com.sun.xml.bind:jaxb-impl:2.3.1
    com.sun.xml.bind:jaxb-core:2.3.0.1
    javax.activation:javax.activation-api:1.2.0
)
folder=$HOME/.cache/lakealbum/hadoop-$hadoop
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

for jar in "${jars[@]}"; do
    IFS=: read -r _ name version <<< "$jar"
    [[ -f $folder/$name-$version.jar ]] ||
        mvn -q dependency:copy -Dartifact="$jar" -DoutputDirectory="$folder" -Dmdep.useBaseVersion=true
done
./lakealbum --version > /dev/null # sets up what is missing
unset SPARK_HOME
export PYTHONSAFEPATH=1 PYTHONPATH=$PWD SPARK_CONF_DIR=$PWD/conf LAKEALBUM_LOG=quiet
export LAKEALBUM_JARS=${LAKEALBUM_JARS:-$PWD/.jars}
"${LAKEALBUM_VENV:-.venv}/bin/python" -m tests.hdfs.chain "$work" "$folder"
