#!/usr/bin/env bash
# Starts or stops the JobManager of a cluster that runs one application, a SQL script of usrlib/, and ends with it. In the foreground
# its exit status is that of the application: 0 finished, 1 failed, 2 cancelled.
USAGE="Usage: standalone-job.sh ((start|start-foreground) [--job script.sql] [--job-id id] [--fromSavepoint path [--allowNonRestoredState]] [-D key=value ...])|stop|stop-all"
BIN=$(readlink -f -- "${BASH_SOURCE[0]}") || exit 1
BIN=${BIN%/*}

case ${1:-} in
  start-foreground) exec "$BIN/flink-console.sh" standalonejob "${@:2}" ;;
  start) exec "$BIN/flink-daemon.sh" start standalonejob "${@:2}" ;;
  stop | stop-all) exec "$BIN/flink-daemon.sh" "$1" standalonejob ;;
  *)
    echo "$USAGE" >&2
    exit 1
    ;;
esac
