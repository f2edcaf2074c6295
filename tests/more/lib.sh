#!/usr/bin/env bash
# Sourced by the tests beside this file.
root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/wiesel/services
CASE=

# What is tested next; names a failure.
testing() {
  CASE=$*
  echo "  $CASE"
}

fail() {
  echo "FAILED: $CASE: $*" >&2
  exit 1
}

# Fails unless a text has another one in it.
expect() { # TEXT PART
  [[ $1 == *"$2"* ]] || fail "expected '$2' in: $1"
}

# Fails unless a command ends with this status. Its output is in $OUTPUT.
expect_status() { # STATUS COMMAND...
  local status=0
  OUTPUT=$("${@:2}" 2>&1) || status=$?
  ((status == $1)) || fail "status $status, expected $1: ${*:2}: $OUTPUT"
}

# Asks until a command succeeds, for at most so many seconds.
eventually() { # SECONDS COMMAND...
  local deadline=$((SECONDS + $1))
  until "${@:2}" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.05
  done
}

# A port that nobody listens on now, below those that the system gives.
free_port() {
  local port
  while port=$((12000 + RANDOM % 18000)); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
  done
}

get() { # PORT PATH
  curl -fsS -m 5 "http://127.0.0.1:$1$2"
}

# Says that something is not tested here, and lets nothing pass for it where CI is set.
skip() {
  echo "SKIPPED: $CASE: $*"
  [[ -z ${CI:-} ]] || exit 1
}
