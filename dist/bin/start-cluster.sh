#!/usr/bin/env bash
# Starts the JobManager here, or those of conf/masters with high availability, and the TaskManagers of conf/workers.
# The exit status is 0 only if all of them came up.
source "${BASH_SOURCE[0]%/*}/config.sh"

readHosts "$FLINK_CONF_DIR/workers"
if [[ $HIGH_AVAILABILITY == none ]]; then
  echo "Starting cluster."
  "$FLINK_BIN_DIR/jobmanager.sh" start "$@" || exit 1
else
  readHosts "$FLINK_CONF_DIR/masters"
  echo "Starting HA cluster with ${#HOSTS[@]} masters."
  JMMasters start || exit 1
fi
TMWorkers start
