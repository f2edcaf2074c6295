#!/usr/bin/env bash
# Starts the JobManager here, or those of conf/masters with high availability, and the TaskManagers of conf/workers.
# The exit status is 0 only if all of them came up.
script=$(readlink -f -- "${BASH_SOURCE[0]}") && source "${script%/*}/config.sh" || exit 1

# Makes the secret that the processes share, unless there is one: who does not have it is not heard on their ports. From the
# beginning the file is its owner's alone, and never one that somebody else has put there. A worker elsewhere reads its own
# conf folder, so with such the secret is for whoever runs the cluster to hand out.
makeSecret() {
  local file=$FLINK_CONF_DIR/internal.secret host
  if [[ "$*" == *security.internal.secret* ]]; then
    echo "-Dsecurity.internal.secret would reach the JobManager only, and no TaskManager could register: write it to $file, mode 600." >&2
    exit 1
  fi
  [[ -e $file || -n ${CONFIG[security.internal.secret]:-} || ! -w $FLINK_CONF_DIR ]] && return
  [[ -f $FLINK_CONF_DIR/workers && ${FLINK_PROPERTIES:-} != *security.internal.secret* ]] || return
  readHosts "$FLINK_CONF_DIR/workers"
  for host in "${HOSTS[@]}"; do
    if ! isLocal "$host"; then
      echo "There is no $file: put the same one, with mode 600 (chmod 600), on all hosts to keep strangers out." >&2
      return
    fi
  done
  (umask 077 && set -o noclobber && od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n' >"$file.$$") && mv -n "$file.$$" "$file"
  rm -f "$file.$$"
}
makeSecret "$@"

# Without high availability the one JobManager is here, whatever the list says, as in Flink, which does not warn.
warnOfMasters() {
  local master host
  [[ -f $FLINK_CONF_DIR/masters ]] || return 0
  readHosts "$FLINK_CONF_DIR/masters"
  for master in "${HOSTS[@]}"; do
    host=${master%:*}
    if isLocal "$host" || [[ $host == "$HOSTNAME" || $host == "${HOSTNAME%%.*}" ]]; then continue; fi
    echo "WARNING: $FLINK_CONF_DIR/masters names $master, but without high availability the JobManager is started here, on $HOSTNAME. Run this script on the host that is to have it." >&2
  done
}

readHosts "$FLINK_CONF_DIR/workers"
if [[ $HIGH_AVAILABILITY == none ]]; then
  warnOfMasters
  echo "Starting cluster."
  "$FLINK_BIN_DIR/jobmanager.sh" start "$@" || exit 1
else
  readHosts "$FLINK_CONF_DIR/masters"
  echo "Starting HA cluster with ${#HOSTS[@]} masters."
  JMMasters start || exit 1
fi
TMWorkers start
