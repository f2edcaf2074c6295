#!/usr/bin/env bash
# Stops the TaskManagers of conf/workers and the JobManager, or those of conf/masters. What can be stopped is stopped; the
# exit status is 0 only if that was all.
script=$(readlink -f -- "${BASH_SOURCE[0]}") && source "${script%/*}/config.sh" || exit 1

# In a shell of its own: without the list of workers the JobManager is stopped all the same.
(TMWorkers stop)
STATUS=$?
if [[ $HIGH_AVAILABILITY == none ]]; then
  "$FLINK_BIN_DIR/jobmanager.sh" stop || STATUS=1
else
  JMMasters stop || STATUS=1
fi
exit $STATUS
