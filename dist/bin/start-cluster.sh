#!/usr/bin/env bash
# Starts the JobManager here, or those of conf/masters with high availability, and the TaskManagers of conf/workers.
source "${BASH_SOURCE[0]%/*}/config.sh"

if [[ $HIGH_AVAILABILITY == none ]]; then
  echo "Starting cluster."
  "$FLINK_BIN_DIR/jobmanager.sh" start "$@"
else
  readHosts "$FLINK_CONF_DIR/masters"
  echo "Starting HA cluster with ${#HOSTS[@]} masters."
  JMMasters start
fi
TMWorkers start
