#!/usr/bin/env bash
# What the tests need beside the project itself: a real S3 server.
#   with-services.sh COMMAND...   runs a command with a server of its own, which ends with it, and then counts skipped tests
#   with-services.sh --install    installs the server if need be and prints its path
#
# The server is versitygw, built once with Go into $XDG_CACHE_HOME/wiesel/services. The command finds it through
# WIESEL_S3_ENDPOINT, WIESEL_S3_BUCKET, WIESEL_S3_ACCESS_KEY, WIESEL_S3_SECRET_KEY and WIESEL_S3_REGION, the program itself
# (for tests that stop and start one) through WIESEL_S3_SERVER. Where it cannot be had, the tests that need it say so and
# count as skipped, unless CI is set: then nothing runs.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
version=1.8.0
services=${XDG_CACHE_HOME:-$HOME/.cache}/wiesel/services
server=$services/versitygw-$version

install() {
  [[ -x $server ]] && return
  PATH=$PATH:/usr/local/go/bin:$HOME/go/bin
  command -v go >/dev/null || "$root/dist/packages.sh" go || return
  echo "Building the S3 server versitygw $version with $(go version) (once, some minutes) ..."
  mkdir -p "$services"
  local build
  build=$(mktemp -d "$services/build.XXXXXX")
  if GOBIN=$build go install "github.com/versity/versitygw/cmd/versitygw@v$version"; then
    mv "$build/versitygw" "$server"
  fi
  rm -rf "$build"
  [[ -x $server ]]
} >&2

# A port that nobody listens on now.
free_port() {
  local port
  while port=$((20000 + RANDOM % 12000)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

# Starts the server and exports how to reach it. Another process may take the port in between: then another one is tried.
start() {
  local tries
  mkdir -p "$data/s3/wiesel"
  for tries in 1 2 3 4 5; do
    port=$(free_port)
    "$server" --access wiesel --secret wiesel-secret --port "127.0.0.1:$port" --health /healthz --quiet \
      posix "$data/s3" >"$data/s3.log" 2>&1 &
    pid=$!
    for _ in $(seq 200); do
      if curl -fs "http://127.0.0.1:$port/healthz" >/dev/null; then
        export WIESEL_S3_ENDPOINT=http://127.0.0.1:$port WIESEL_S3_BUCKET=wiesel WIESEL_S3_REGION=us-east-1
        export WIESEL_S3_ACCESS_KEY=wiesel WIESEL_S3_SECRET_KEY=wiesel-secret WIESEL_S3_SERVER=$server
        return
      fi
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.05
    done
    kill "$pid" 2>/dev/null || true
  done
  echo "The S3 server does not start: $(tail -n 5 "$data/s3.log")" >&2
  return 1
}

finish() {
  [[ -n $pid ]] && kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null
  if [[ -s $WIESEL_SKIPPED ]]; then
    echo "$(sort -u "$WIESEL_SKIPPED" | wc -l) tests were skipped:"
    sort -u "$WIESEL_SKIPPED"
  fi
  rm -rf "$data"
}

if [[ ${1:-} == --install ]]; then
  install
  echo "$server"
  exit
fi

pid=
data=$(mktemp -d)
export WIESEL_SKIPPED=$data/skipped
: >"$WIESEL_SKIPPED"
trap finish EXIT
trap 'exit 130' INT TERM
if ! install || ! start; then
  echo "There is no S3 server (versitygw needs Go 1.21 or later and the network once); tests that need one are skipped." >&2
  [[ -z ${CI:-} ]] || exit 1
fi
status=0
"$@" || status=$?
exit "$status"
