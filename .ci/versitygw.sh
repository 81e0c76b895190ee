#!/usr/bin/env bash
# Prints where versitygw is, the S3 server of tests/s3 and .ci/cluster.sh; builds it with Go (minutes) where it is not.
set -euo pipefail

version=v1.8.0
bin=$HOME/.cache/lakealbum/bin

if [[ ! -x $bin/versitygw ]] && ! command -v versitygw; then
    command -v go > /dev/null || { echo 'no versitygw, and no Go to build it' >&2; exit 2; }
    GOBIN=$bin go install "github.com/versity/versitygw/cmd/versitygw@$version" >&2
fi
[[ ! -x $bin/versitygw ]] || printf '%s\n' "$bin/versitygw"
