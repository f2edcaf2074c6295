#!/usr/bin/env bash
# Starts or stops a JobManager.
USAGE="Usage: jobmanager.sh ((start|start-foreground) [host] [webui-port] [-D key=value ...])|stop|stop-all"
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
  start-foreground) exec "${BASH_SOURCE[0]%/*}/flink-console.sh" standalonesession "${ARGS[@]}" "$@" ;;
  start) exec "${BASH_SOURCE[0]%/*}/flink-daemon.sh" start standalonesession "${ARGS[@]}" "$@" ;;
  stop | stop-all) exec "${BASH_SOURCE[0]%/*}/flink-daemon.sh" "$STARTSTOP" standalonesession ;;
  *)
    echo "$USAGE" >&2
    exit 1
    ;;
esac
