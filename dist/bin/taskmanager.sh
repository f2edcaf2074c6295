#!/usr/bin/env bash
# Starts or stops a TaskManager.
USAGE="Usage: taskmanager.sh ((start|start-foreground) [-D key=value ...])|stop|stop-all"
BIN=$(readlink -f -- "${BASH_SOURCE[0]}") || exit 1
BIN=${BIN%/*}

case ${1:-} in
  start-foreground) exec "$BIN/flink-console.sh" taskexecutor "${@:2}" ;;
  start) exec "$BIN/flink-daemon.sh" start taskexecutor "${@:2}" ;;
  stop | stop-all) exec "$BIN/flink-daemon.sh" "$1" taskexecutor ;;
  *)
    echo "$USAGE" >&2
    exit 1
    ;;
esac
