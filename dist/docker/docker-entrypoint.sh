#!/usr/bin/env bash
# The command of a container: a part of a cluster and its arguments, or any other command. Takes the arguments and variables of the
# entrypoint of Flink's image. Writes no file: the root file system may be read-only.
set -euo pipefail
HOME_DIR=${FLINK_HOME:-/opt/flink}
NAME=${0##*/}

usage() {
  echo "Usage: $NAME (jobmanager|standalone-job|taskmanager|sql-client|history-server) [arguments]"
  echo "    Or $NAME help"
  echo "    Or $NAME COMMAND [arguments]"
  echo
  echo "Variables: FLINK_PROPERTIES, lines of the configuration over those of the file, in which \${NAME} stands for another"
  echo "variable; JOB_MANAGER_RPC_ADDRESS; TASK_MANAGER_NUMBER_OF_TASK_SLOTS; ENABLE_BUILT_IN_PLUGINS."
}

# Prints a text with the values of the variables that it names, $NAME or ${NAME}; a variable that is not set has none.
expand() { # TEXT
  local rest=$1 text=
  while [[ $rest == *'$'* ]]; do
    text+=${rest%%'$'*}
    rest=${rest#*'$'}
    if [[ $rest =~ ^\{([A-Za-z_][A-Za-z0-9_]*)\} || $rest =~ ^([A-Za-z_][A-Za-z0-9_]*) ]]; then
      rest=${rest:${#BASH_REMATCH[0]}}
      text+=$(printenv -- "${BASH_REMATCH[1]}" || true)
    else
      text+='$'
    fi
  done
  printf '%s' "$text$rest"
}

# Prints properties with a blank behind each key: Flink's image does without.
separate() { # TEXT
  local line
  while IFS= read -r line; do
    [[ $line =~ ^([[:space:]]*[A-Za-z][A-Za-z0-9._-]*):([^[:space:]].*)$ ]] && line="${BASH_REMATCH[1]}: ${BASH_REMATCH[2]}"
    printf '%s\n' "$line"
  done <<<"$1"
}

# Sets a property by a variable of its own, unless FLINK_PROPERTIES has it.
setProperty() { # KEY VALUE
  [[ -n $2 ]] || return 0
  [[ $'\n'$FLINK_PROPERTIES =~ $'\n'[[:space:]]*"$1": ]] || FLINK_PROPERTIES="$1: $2"$'\n'$FLINK_PROPERTIES
}

prepareProperties() {
  FLINK_PROPERTIES=$(separate "$(expand "${FLINK_PROPERTIES:-}")")
  setProperty jobmanager.rpc.address "${JOB_MANAGER_RPC_ADDRESS:-}"
  setProperty taskmanager.numberOfTaskSlots "${TASK_MANAGER_NUMBER_OF_TASK_SLOTS:-}"
  export FLINK_PROPERTIES
  # The ports of a container are its own: what else reaches them is for its network to say. A configuration that names other
  # interfaces, or the JobManager, goes over this.
  export WIESEL_DEFAULT_PROPERTIES=${WIESEL_DEFAULT_PROPERTIES:-"jobmanager.rpc.address: $(hostname -f 2>/dev/null || hostname)
jobmanager.bind-host: 0.0.0.0
taskmanager.bind-host: 0.0.0.0
rest.bind-address: 0.0.0.0"}
}

# Flink loads what is optional from files that a variable names; here everything that there is is built in.
explainPlugins() {
  local plugin plugins=()
  IFS=';' read -ra plugins <<<"${ENABLE_BUILT_IN_PLUGINS:-}"
  for plugin in ${plugins[@]+"${plugins[@]}"}; do
    case $plugin in
      '') ;;
      flink-s3-fs-*) echo "$plugin: S3 is built in" ;;
      *) echo "WARNING: there is no plugin '$plugin': what needs it will say so." >&2 ;;
    esac
  done
}

# Runs the script of a part that this version may not have yet.
runIfThere() { # COMMAND SCRIPT ARGUMENTS
  if [[ ! -x $HOME_DIR/bin/$2 ]]; then
    echo "There is no $1 in this version of Wiesel yet. $(usage | head -n 1)" >&2
    exit 1
  fi
  exec "$HOME_DIR/bin/$2" start-foreground "${@:3}"
}

((EUID != 0)) || echo "WARNING: this runs as root. The image has the user flink (9999) for it." >&2
explainPlugins
prepareProperties
case ${1:-help} in
  help) usage ;;
  jobmanager)
    echo "Starting Job Manager"
    exec "$HOME_DIR/bin/jobmanager.sh" start-foreground "${@:2}"
    ;;
  taskmanager)
    echo "Starting Task Manager"
    exec "$HOME_DIR/bin/taskmanager.sh" start-foreground "${@:2}"
    ;;
  standalone-job) runIfThere "$1" standalone-job.sh "${@:2}" ;;
  history-server) runIfThere "$1" historyserver.sh "${@:2}" ;;
  sql-client)
    # Its history is in the home folder, which is part of the root file system.
    [[ -w ${HOME:-/} ]] || export HOME=/tmp
    exec "$HOME_DIR/bin/sql-client.sh" "${@:2}"
    ;;
  *) exec "$@" ;;
esac
