#!/usr/bin/env bash
# Starts and stops daemons and keeps their pid file: one pid a line, the last one started is stopped first.
USAGE="Usage: flink-daemon.sh (start|stop|stop-all) (taskexecutor|standalonesession|standalonejob) [args]"
script=$(readlink -f -- "${BASH_SOURCE[0]}") && source "${script%/*}/config.sh" || exit 1

STARTSTOP=${1:-}
DAEMON=${2:-}
# What the program is told to be, if it can be several things.
MODE=()
case $DAEMON in
  taskexecutor) BINARY=taskmanager ;;
  standalonesession) BINARY=jobmanager ;;
  standalonejob) BINARY=jobmanager MODE=(standalonejob) ;;
  *)
    echo "Unknown daemon '$(shown "$DAEMON")'. $USAGE." >&2
    exit 1
    ;;
esac
PIDS=$FLINK_PID_DIR/flink-$FLINK_IDENT_STRING-$DAEMON.pid
UP_NAME=flink-$FLINK_IDENT_STRING-$DAEMON.up

# Whether there is a process with this pid that is not dead: it may be, and not yet reaped.
isAlive() {
  kill -0 "$1" 2>/dev/null || return 1
  [[ -r /proc/$$/stat ]] || return 0
  local stat
  # It may have ended since: nothing is to be said of that.
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  [[ ${stat##*) } != [ZX]* ]]
}

# Whether a process was started for this pid file, as the variable tells that it was given. One whose environment cannot be read
# is taken at its name.
isOfThisFile() {
  local entry read=
  while IFS= read -r -d '' entry; do
    read=yes
    [[ $entry == WIESEL_UP_FILE=* ]] || continue
    entry=${entry#*=}
    [[ ${entry##*/} == "$UP_NAME".* ]] && [[ ${entry%/*} -ef $FLINK_PID_DIR || ! -d ${entry%/*} ]]
    return
  done 2>/dev/null <"/proc/$1/environ"
  [[ -z $read ]]
}

# Whether a pid is that of a daemon of this kind and this pid file: when a daemon has died the system gives its pid to any other
# process, which may be a shell of the same user or another cluster's daemon. What is signalled has passed here.
isRunning() {
  isAlive "$1" || return 1
  [[ -r /proc/$1/cmdline ]] || return 0
  local -a command=()
  mapfile -d '' -t -n 4 command 2>/dev/null <"/proc/$1/cmdline"
  if [[ ${command[0]##*/} == "$BINARY" ]]; then
    isOfThisFile "$1"
  else
    # Between fork and exec it is still the shell that starts it.
    [[ ${command[1]##*/} == flink-daemon.sh && ${command[2]} == start && ${command[3]} == "$DAEMON" ]]
  fi
}

# Reads the pid file into the array LIST. Ends the script where it is none: a daemon that was added to it could not be stopped.
MAX_PID_BYTES=16384
readPids() {
  local pid size
  LIST=()
  [[ -e $PIDS ]] || return 0
  if [[ ! -f $PIDS ]]; then
    echo "The pid file $(shown "$PIDS") is no regular file: remove it, or name another folder for pid files with env.pid.dir or the variable FLINK_PID_DIR." >&2
    exit 1
  fi
  size=$(wc -c <"$PIDS")
  if ((${size:-0} > MAX_PID_BYTES)); then
    echo "The pid file $(shown "$PIDS") has $size bytes, of at most $MAX_PID_BYTES: it is not what was written. Remove it, and end daemons that it names by their pids." >&2
    exit 1
  fi
  while read -r pid || [[ -n $pid ]]; do
    # 0 would be this script and all that was started with it.
    [[ $pid =~ ^[1-9][0-9]{0,9}$ ]] && LIST+=("$pid")
  done <"$PIDS"
  return 0
}

# Writes the pids to the pid file, or removes it when there are none. False, and a message, if it cannot. The folder may be
# everybody's, as /tmp is, and others may have put a link or a folder there under either name: what is written is a new file, which
# takes the place of a link and not of what the link names.
writePids() {
  local reason
  if (($# == 0)); then
    reason=$(rm -f -- "$PIDS" 2>&1) && return
  else
    reason=$(
      exec 2>&1
      set -o noclobber
      rm -f -- "$PIDS.tmp" && printf '%s\n' "$@" >"$PIDS.tmp" && mv -fT -- "$PIDS.tmp" "$PIDS"
    ) && return
    rm -f -- "$PIDS.tmp" 2>/dev/null
  fi
  echo "The pid file $(shown "$PIDS") cannot be written (${reason##*: }): env.pid.dir or the variable FLINK_PID_DIR names its folder." >&2
  return 1
}

# Asks the processes to end and waits for them, at most 10 seconds.
stopAll() {
  local pid waiting tries
  kill "$@" 2>/dev/null
  for ((tries = 0; tries < 1000; tries++)); do
    waiting=
    for pid in "$@"; do isRunning "$pid" && waiting=yes; done
    [[ -z $waiting ]] && return
    sleep 0.01
  done
  for pid in "$@"; do
    if isRunning "$pid"; then
      echo "Daemon $DAEMON (pid: $pid) didn't stop within 10 seconds. Killing it."
      kill -9 "$pid"
    fi
  done
}

# Waits until the daemon has said that it is up, by the file it was told to write. False if it ended instead. It is a child of
# this shell: nobody else gets its pid. What its command is cannot be asked: while it becomes another program, that is empty.
waitUntilUp() { # PID FILE
  local tries
  for ((tries = 0; tries < 3000; tries++)); do
    [[ -e $2 ]] && return 0
    if ! isAlive "$1"; then
      [[ -e $2 ]]
      return
    fi
    sleep 0.01
  done
  echo "[WARNING] $DAEMON (pid: $1) runs and has not said within 30 seconds that it is up: see its log." >&2
}

# The last lines of a file, without what would steer the terminal.
endOf() {
  tail -n 10 "$1" | tr -d '\000-\010\013-\037\177'
}

# Why a daemon ended at once: what it printed, or the end of its log.
explain() { # PREFIX
  echo "The $DAEMON daemon ended at once on host $HOSTNAME:" >&2
  if [[ -s $1.out ]]; then endOf "$1.out" >&2; elif [[ -s $1.log ]]; then endOf "$1.log" >&2; fi
  [[ -s $1.log ]] && echo "More may be in $1.log." >&2
}

if [[ $STARTSTOP == start ]]; then
  needFolder "$FLINK_PID_DIR" "pid files" env.pid.dir FLINK_PID_DIR
  needFolder "$FLINK_LOG_DIR" logs env.log.dir FLINK_LOG_DIR
elif [[ $STARTSTOP == stop* && ! -d $FLINK_PID_DIR ]]; then
  echo "No $DAEMON daemon to stop on host $HOSTNAME: there is no folder $(shown "$FLINK_PID_DIR") (env.pid.dir, FLINK_PID_DIR) for pid files."
  exit 0
fi
# Daemons that are started at the same time must not read and write the pid file at the same time. Of one digit: however few files
# the process may open.
if [[ -r $FLINK_PID_DIR ]] && command -v flock >/dev/null; then
  if ! exec 9<"$FLINK_PID_DIR" || ! flock 9; then
    echo "The folder $(shown "$FLINK_PID_DIR") cannot be locked: name another for pid files with env.pid.dir or the variable FLINK_PID_DIR, or let the process open more files (ulimit -n)." >&2
    exit 1
  fi
fi

STATUS=0
case $STARTSTOP in
  start)
    readPids
    RUNNING=0
    for pid in "${LIST[@]}"; do isRunning "$pid" && RUNNING=$((RUNNING + 1)); done
    ((RUNNING > 0)) && echo "[INFO] $RUNNING instance(s) of $DAEMON are already running on $HOSTNAME."
    if [[ ! -x $FLINK_LIB_DIR/$BINARY ]]; then
      echo "There is no program $FLINK_LIB_DIR/$BINARY." >&2
      exit 1
    fi
    PREFIX=$FLINK_LOG_DIR/flink-$FLINK_IDENT_STRING-$DAEMON-${#LIST[@]}-$HOSTNAME
    if ! { : >"$PREFIX.out"; } 2>/dev/null; then
      echo "The file $(shown "$PREFIX.out") cannot be written: remove it, or name another folder with env.log.dir or the variable FLINK_LOG_DIR." >&2
      exit 1
    fi
    echo "Starting $DAEMON daemon on host $HOSTNAME."
    # In full: it tells later, from elsewhere too, which pid file the daemon is of.
    UP=$(readlink -f -- "$FLINK_PID_DIR")/$UP_NAME.$$
    rm -f "$UP"
    WIESEL_LOG_FILE=$PREFIX.log WIESEL_UP_FILE=$UP "$FLINK_LIB_DIR/$BINARY" "${MODE[@]}" --configDir "$FLINK_CONF_DIR" "${@:3}" \
      >"$PREFIX.out" 2>&1 </dev/null 9<&- &
    PID=$!
    # Nobody could stop it later.
    if ! writePids "${LIST[@]}" $PID; then
      stopAll $PID
      rm -f "$UP"
      exit 1
    fi
    if ! waitUntilUp $PID "$UP"; then
      writePids "${LIST[@]}"
      explain "$PREFIX"
      exit 1
    fi
    rm -f "$UP"
    ;;

  stop)
    readPids
    if ((${#LIST[@]} == 0)); then
      writePids || STATUS=1
      echo "No $DAEMON daemon to stop on host $HOSTNAME."
    else
      pid=${LIST[-1]}
      writePids "${LIST[@]:0:${#LIST[@]}-1}" || STATUS=1
      if isRunning "$pid"; then
        echo "Stopping $DAEMON daemon (pid: $pid) on host $HOSTNAME."
        stopAll "$pid"
      else
        echo "No $DAEMON daemon (pid: $pid) is running anymore on $HOSTNAME."
      fi
    fi
    ;;

  stop-all)
    readPids
    ALIVE=()
    for pid in "${LIST[@]}"; do
      if isRunning "$pid"; then
        echo "Stopping $DAEMON daemon (pid: $pid) on host $HOSTNAME."
        ALIVE+=("$pid")
      else
        echo "Skipping $DAEMON daemon (pid: $pid), because it is not running anymore on $HOSTNAME."
      fi
    done
    writePids || STATUS=1
    ((${#ALIVE[@]} > 0)) && stopAll "${ALIVE[@]}"
    ;;

  *)
    echo "Unexpected argument '$(shown "$STARTSTOP")'. $USAGE." >&2
    exit 1
    ;;
esac
exit $STATUS
