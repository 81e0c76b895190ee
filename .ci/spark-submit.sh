#!/usr/bin/env bash
# The job files as a cluster runs them: spark-submit, jars and packages handed over, no launcher; then a query without a JVM.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT

venv=$(cd -- "${LAKEALBUM_VENV:-.venv}" && pwd)
if compgen -G "${LAKEALBUM_JARS:-.jars}/*.jar" > /dev/null; then
    jars=(--jars "$(printf '%s,' "${LAKEALBUM_JARS:-.jars}"/*.jar)")
else # a machine without Maven: Spark's own resolver
    { read -r packages && read -r excludes; } < <("$venv/bin/python" -m jobs.runtime.jars)
    jars=(--packages "$packages" --exclude-packages "$excludes")
fi
lake=(--lake "$work/lake" --project demo --dataset d1)

# Two areas, one in the other, and pictures in both.
cat > "$work/files.csv" << 'CSV'
uri,media_type,produce_time,latitude,longitude
file:///a.jpg,image,2024-03-04T10:00:00+08:00,30.2500,120.1600
file:///b.jpg,image,2024-03-05T11:30:00+08:00,30.2510,120.1610
file:///c.jpg,image,2024-03-07T09:15:00+08:00,30.2520,120.1620
CSV

# --py-files as on a cluster; it also keeps the checkout itself off the workers' path.
"$venv/bin/python" - "$work/lakealbum.zip" << 'PY'
import pathlib, sys, zipfile

with zipfile.ZipFile(sys.argv[1], "w") as bundle:
    for package in ("jobs", "transforms", "schemas", "catalog", "conf"):
        for file in sorted(pathlib.Path(package).rglob("*")):
            if file.suffix in {".py", ".yaml", ".conf"}:
                bundle.write(file)
PY

submit() { # JOB ARGS...: unset what only the launcher sets; the JVM compiles little, as it does not live long
    (
        unset SPARK_HOME PYTHONPATH LAKEALBUM_JARS
        export PYSPARK_PYTHON=$venv/bin/python SPARK_CONF_DIR=$PWD/conf JDK_JAVA_OPTIONS=-XX:TieredStopAtLevel=1
        PATH=$venv/bin:$PATH spark-submit --master 'local[2]' --properties-file conf/spark-defaults.conf \
            "${jars[@]}" --py-files "$work/lakealbum.zip" "$@"
    )
}

cat > "$work/areas.geojson" << 'JSON'
{"type": "FeatureCollection", "features": [
  {"type": "Feature", "properties": {"code": "CN", "name": "China", "level": "country"},
   "geometry": {"type": "Polygon", "coordinates": [[[100, 20], [130, 20], [130, 40], [100, 40], [100, 20]]]}},
  {"type": "Feature", "properties": {"code": "HZ", "name": "Hangzhou", "level": "city"},
   "geometry": {"type": "Polygon", "coordinates": [[[120, 30], [121, 30], [121, 31], [120, 31], [120, 30]]]}}]}
JSON

"$venv/bin/python" - "$work/photos" << 'PY'
import pathlib, sys
from PIL import Image

folder = pathlib.Path(sys.argv[1])
folder.mkdir()
noise = Image.effect_noise((320, 240), 90).resize((1600, 1200), Image.Resampling.BICUBIC)
noise.save(folder / "original.jpg")
noise.resize((400, 300)).save(folder / "small.png")
noise.transpose(Image.Transpose.ROTATE_180).save(folder / "other.jpg")
PY

submit jobs/build_areas.py "$work/areas.geojson" --level level --code code "${lake[@]}"
submit jobs/index_files.py "$work/files.csv" "$work/photos" "${lake[@]}"
"$venv/bin/python" - "$work/lake/file_places" << 'PY'
import sys
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

places = QueryBuilder().register("places", DeltaTable(sys.argv[1]))
counted = places.execute("SELECT country, city, count(*) AS files FROM places GROUP BY country, city").read_all()
found = [tuple(row.values()) for row in pa.table(counted).to_pylist()]
assert found == [("China", "Hangzhou", 3)], f"three pictures in Hangzhou expected, got: {found}"
print("spark-submit: areas, and three pictures in one of them, as expected")
PY

export OPENLINEAGE__TRANSPORT__TYPE=file OPENLINEAGE__TRANSPORT__APPEND=true
export OPENLINEAGE__TRANSPORT__LOG_FILE_PATH=$work/events.jsonl
task=0b2f6d4e-9c3a-5f10-8e77-1d2c3b4a5968
submit --conf spark.openlineage.parentJobNamespace=airflow --conf spark.openlineage.parentJobName=nightly.similar \
    --conf "spark.openlineage.parentRunId=$task" jobs/cluster_similar_images.py "${lake[@]}"
"$venv/bin/python" - "$work/events.jsonl" << 'PY'
import json, sys

events = [json.loads(line) for line in open(sys.argv[1])]
assert [event["eventType"] for event in events] == ["START", "COMPLETE"], events
assert {event["run"]["facets"]["parent"]["job"]["name"] for event in events} == {"nightly.similar"}, events
assert any(output["name"].endswith("/similar_image_clusters") for output in events[1]["outputs"]), events[1]
print("spark-submit: the run told its start and end, and its parent, as expected")
PY
./lakealbum query similar-images "${lake[@]}" --json > "$work/similar.json"
"$venv/bin/python" - "$work/similar.json" << 'PY'
import json, pathlib, sys

(cluster,) = json.load(open(sys.argv[1]))["SimilarImageClusters"]
found = {pathlib.PurePosixPath(file["URI"]).stem for file in cluster["Files"]}
assert found == {"original", "small"}, cluster
print("spark-submit: an original and its smaller copy are one cluster, as expected")
PY
