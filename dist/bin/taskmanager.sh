#!/usr/bin/env bash
# Starts or stops a TaskManager.
USAGE="Usage: taskmanager.sh ((start|start-foreground) [-D key=value ...])|stop|stop-all"

case ${1:-} in
  start-foreground) exec "${BASH_SOURCE[0]%/*}/flink-console.sh" taskexecutor "${@:2}" ;;
  start) exec "${BASH_SOURCE[0]%/*}/flink-daemon.sh" start taskexecutor "${@:2}" ;;
  stop | stop-all) exec "${BASH_SOURCE[0]%/*}/flink-daemon.sh" "$1" taskexecutor ;;
  *)
    echo "$USAGE" >&2
    exit 1
    ;;
esac
