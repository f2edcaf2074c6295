#!/usr/bin/env bash
# Runs examples/flights.sql on a cluster of one JobManager and two TaskManagers: quickstart.sh HOME
# Its configuration, logs and pid files are in a folder of its own, its ports for REST and RPC are free ones, whatever conf/config.yaml
# has, and it leaves nothing behind.
set -euo pipefail
if (($# != 1)); then
  echo "usage: quickstart.sh HOME    (the folder of an installation, which \`make -s home\` prints)" >&2
  exit 2
fi
CDPATH='' cd -- "$1"
work=$(mktemp -d)
export FLINK_CONF_DIR=$work/conf FLINK_LOG_DIR=$work/log FLINK_PID_DIR=$work/pid
cp -r conf "$FLINK_CONF_DIR"

stop() {
  bin/stop-cluster.sh >/dev/null || true
  rm -rf "$work"
}
trap stop EXIT

# The usual port if nobody listens there, else the next free one.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}
rest=$(free_port 8081)
rpc=$(free_port 6123)
# Over the file, and over what the caller has in the variable.
export FLINK_PROPERTIES="${FLINK_PROPERTIES:-}
rest.port: $rest
rest.bind-port: $rest
jobmanager.rpc.port: $rpc
jobmanager.rpc.bind-port: $rpc
taskmanager.numberOfTaskSlots: 1"
printf 'localhost\nlocalhost\n' >"$FLINK_CONF_DIR/workers"

get() {
  exec 3<>"/dev/tcp/127.0.0.1/$rest" || return
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
  cat <&3
  exec 3>&-
}

bin/start-cluster.sh
for ((tries = 0; tries < 200; tries++)); do
  [[ $(get /overview 2>/dev/null) == *'"slots-total":2'* ]] && break
  sleep 0.05
done
if ((tries == 200)); then
  echo "The TaskManagers did not register within 10 seconds. The logs say:" >&2
  tail -n 20 "$FLINK_LOG_DIR"/* >&2
  exit 1
fi

if ! bin/sql-client.sh -D parallelism.default=2 -f examples/flights.sql >"$work/result"; then
  cat "$work/result"
  echo "The query failed. The logs say:" >&2
  grep -hE ' (WARN|ERROR) ' "$FLINK_LOG_DIR"/*.log | tail -n 20 >&2
  exit 1
fi
cat "$work/result"

# The job as the JobManager reports it, and the rows that arrived here.
jobs=$(get /jobs/overview)
[[ $jobs =~ \"name\":\"([^\"]*)\" ]] && name=${BASH_REMATCH[1]}
[[ $jobs =~ \"state\":\"([^\"]*)\" ]] && state=${BASH_REMATCH[1]}
rows=$(grep -cE '^\|.* [A-Z]{3} \|' "$work/result" || true)
echo
echo "Job:   ${name:-unknown}"
echo "State: ${state:-unknown}"
echo "Rows:  $rows"
[[ ${state:-} == FINISHED && $rows -gt 0 ]]
