#!/usr/bin/env bash
# Stops the TaskManagers of conf/workers and the JobManager, or those of conf/masters.
source "${BASH_SOURCE[0]%/*}/config.sh"

TMWorkers stop
if [[ $HIGH_AVAILABILITY == none ]]; then
  "$FLINK_BIN_DIR/jobmanager.sh" stop
else
  JMMasters stop
fi
