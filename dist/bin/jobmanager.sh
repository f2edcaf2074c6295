#!/usr/bin/env bash
# Starts or stops a JobManager.
USAGE="Usage: jobmanager.sh ((start|start-foreground) [host] [webui-port] [-D key=value ...])|stop|stop-all"
BIN=$(readlink -f -- "${BASH_SOURCE[0]}") || exit 1
BIN=${BIN%/*}
STARTSTOP=${1:-}
shift
ARGS=()
if [[ $# -gt 0 && $1 != -* ]]; then
  ARGS+=(-D "jobmanager.rpc.address=$1")
  shift
  if [[ $# -gt 0 && $1 != -* ]]; then
    ARGS+=(-D "rest.port=$1")
    shift
  fi
fi

case $STARTSTOP in
  start-foreground) exec "$BIN/flink-console.sh" standalonesession "${ARGS[@]}" "$@" ;;
  start) exec "$BIN/flink-daemon.sh" start standalonesession "${ARGS[@]}" "$@" ;;
  stop | stop-all) exec "$BIN/flink-daemon.sh" "$STARTSTOP" standalonesession ;;
  *)
    echo "$USAGE" >&2
    exit 1
    ;;
esac
