#!/usr/bin/env bash
# LakeAlbum's DAGs in a real Airflow, in an environment of its own: the scheduler runs the nightly DAG, of which a task is
# killed, and the one that new files start; then `dag.test()` of each example and of the recipes in docs/airflow.md.
# Skipped, with a word, where the lock cannot be installed.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
standalone=''
finish() {
    local rc=$?
    if [[ -n $standalone ]]; then
        kill -- "-$standalone" 2> /dev/null || true
        wait "$standalone" 2> /dev/null || true
    fi
    ((rc == 0)) || tail -n 60 -- "$work"/*.log >&2 || true
    rm -rf -- "$work"
}
trap finish EXIT

skip() { echo "airflow: $*: skipped"; exit 0; }

export LAKEALBUM_EXECUTABLE=${LAKEALBUM_EXECUTABLE:-$PWD/lakealbum} LAKEALBUM_HOME=$PWD LAKEALBUM_LAKE=$work/lake
export LAKEALBUM_JARS=${LAKEALBUM_JARS:-$PWD/.jars} LAKEALBUM_ZIP=$work/lakealbum.zip
venv=$(cd -- "${LAKEALBUM_VENV:-.venv}" && pwd)

# Airflow's environment, by uv, which takes seconds where pip takes minutes.
uv=$(command -v uv || true)
if [[ -z $uv ]]; then
    "$venv/bin/python" -m venv "$work/uv"
    "$work/uv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check uv==0.13.9 ||
        skip 'uv cannot be installed'
    uv=$work/uv/bin/uv
fi
install() { "$uv" pip install --quiet --python "$work/airflow/bin/python" "$@"; }
"$uv" venv --quiet --python "$venv/bin/python" "$work/airflow"
install --require-hashes -r integrations/airflow/requirements.txt || skip 'the lock cannot be installed'
install --no-deps --require-hashes -r integrations/airflow/requirements-spark.txt || skip 'the Spark provider cannot be installed'
cp -r integrations/airflow "$work/source" # setuptools builds in place
install --no-deps "$work/source" || skip 'setuptools cannot be installed'

# What the DAGs need: the command and spark-submit on PATH, a pool, a master, a source that is bound.
mkdir -- "$work/bin" "$work/dags"
ln -s -- "$LAKEALBUM_EXECUTABLE" "$work/bin/lakealbum"
cp integrations/airflow/examples/*.py "$work/dags"
"$venv/bin/python" -m zipfile -c "$LAKEALBUM_ZIP" jobs transforms schemas catalog conf
printf '%s\n' uri,media_type,produce_time,latitude,longitude \
    file:///a.jpg,image,2024-03-04T10:00:00+08:00,30.2500,120.1600 \
    file:///b.jpg,image,2024-03-05T11:30:00+08:00,30.2510,120.1610 \
    file:///c.jpg,image,2024-03-07T09:15:00+08:00,30.2520,120.1620 > "$work/files.csv"
"$LAKEALBUM_EXECUTABLE" bind "$work/files.csv" --dataset ada --lake "$LAKEALBUM_LAKE"

export AIRFLOW_HOME=$work/home AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__DAGS_FOLDER=$work/dags
export AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True AIRFLOW__API__WORKERS=1 PATH=$work/airflow/bin:$work/bin:$PATH:$venv/bin
export AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY=5
export AIRFLOW_CONN_SPARK_DEFAULT='{"conn_type": "spark", "host": "local[2]"}' PYSPARK_PYTHON=$venv/bin/python
export OPENLINEAGE__TRANSPORT__TYPE=file OPENLINEAGE__TRANSPORT__APPEND=true
export OPENLINEAGE__TRANSPORT__LOG_FILE_PATH=$work/events.jsonl # what the jobs tell of their lineage
unset SPARK_HOME PYTHONPATH
read -r port logs triggers < <("$venv/bin/python" - << 'PY'
import socket

found = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in found))
PY
)
export AIRFLOW__API__PORT=$port AIRFLOW__API__BASE_URL=http://localhost:$port
export AIRFLOW__CORE__EXECUTION_API_SERVER_URL=http://localhost:$port/execution/
export AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=$logs AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=$triggers
airflow db migrate > "$work/migrate.log" 2>&1
airflow pools set lakealbum 1 'the jobs of the lake, one after the other' >> "$work/migrate.log" 2>&1

set -m # a process group of its own
airflow standalone > "$work/standalone.log" 2>&1 &
standalone=$!
set +m
python integrations/airflow/check.py scheduled "http://localhost:$port"
kill -- "-$standalone"
wait "$standalone" 2> /dev/null || true
standalone=''

# The recipes of the docs, and a task that can never succeed, beside the examples.
"$venv/bin/python" - "$work/dags" << 'PY'
import pathlib, re, sys

blocks = re.findall(r"```python\n(.*?)```", pathlib.Path("docs/airflow.md").read_text(encoding="utf-8"), re.S)
recipe = next(block for block in blocks if "BashOperator" in block)
(pathlib.Path(sys.argv[1]) / "recipe.py").write_text(recipe, encoding="utf-8")
(pathlib.Path(sys.argv[1]) / "bad_usage.py").write_text(
    "import os\nfrom datetime import timedelta\nfrom airflow.sdk import DAG\n"
    "from lakealbum_airflow import LakeAlbumOperator\n"
    "with DAG('bad_usage', schedule=None):\n"
    "    LakeAlbumOperator(task_id='trips', arguments='cluster location-date --gap-days -1', pool='lakealbum',\n"
    "        lake=os.environ['LAKEALBUM_LAKE'], executable=os.environ['LAKEALBUM_EXECUTABLE'],\n"
    "        retries=2, retry_delay=timedelta(seconds=1))\n",
    encoding="utf-8",
)
PY
python integrations/airflow/check.py tested "$work/dags" 2> "$work/tested.log" > "$work/tested.out" || { tail -n 40 "$work/tested.out"; exit 1; }
grep '^airflow: ' "$work/tested.out"
