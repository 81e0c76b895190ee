#!/usr/bin/env bash
# The steps of the Dockerfile, each a command, so that .ci/image.sh can run the same ones in a plain folder.
#
#   image.sh wheel SOURCE FOLDER                    builds the wheel of a checkout into FOLDER
#   image.sh jars POM FOLDER                        copies the jars that pom.xml pins into FOLDER, those for S3 too
#   image.sh environment WHEELS PINS FOLDER         makes an environment of the wheel and what it needs, as PINS has them
set -euo pipefail

wheel() { "${PYTHON:-python3}" -m pip wheel --quiet --no-deps --wheel-dir "$2" "$1"; }

jars() { mvn -B -q -P s3 -f "$1" dependency:copy-dependencies -DoutputDirectory="$2"; }

environment() { # PINS has hashes and tools for tests, too: its versions alone hold for what the wheel asks for
    local versions
    versions=$(mktemp)
    grep -oE '^[A-Za-z0-9._-]+==[^ ;]+' "$2" > "$versions"
    "${PYTHON:-python3}" -m venv "$3"
    "$3/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --constraint "$versions" "$1"/lakealbum-*.whl
    "$3/bin/python" -m pip check
    rm -- "$versions"
}

"$@"
