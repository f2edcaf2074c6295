#!/usr/bin/env bash
# Sourced by the other scripts: where things are, and what the configuration says about pid files, logs and ssh. They find it
# beside themselves, behind links to them too, and end where it cannot be read.
# Nearly everything here is done by the shell itself, so that a script starts in milliseconds.

FLINK_BIN_DIR=$(readlink -f -- "${BASH_SOURCE[0]}") || exit 1
FLINK_BIN_DIR=${FLINK_BIN_DIR%/*}
FLINK_HOME=${FLINK_BIN_DIR%/*}
FLINK_LIB_DIR=${FLINK_LIB_DIR:-$FLINK_HOME/lib}
FLINK_CONF_DIR=${FLINK_CONF_DIR:-$FLINK_HOME/conf}
export FLINK_HOME FLINK_BIN_DIR FLINK_LIB_DIR FLINK_CONF_DIR

# Prints a text as a message quotes it: its beginning, and nothing that steers the terminal.
shown() {
  local text=${1:0:300}
  text=${text//[[:cntrl:]]/?}
  ((${#1} > 300)) && text+="... ($((${#1} - 300)) more characters)"
  printf '%s' "$text"
}

if [[ ! -d $FLINK_CONF_DIR ]]; then
  echo "There is no folder $(shown "$FLINK_CONF_DIR"): set FLINK_CONF_DIR to the one that holds config.yaml." >&2
  exit 1
fi

# Keys of the form a.b.c, nested or flat, with plain values; the last one counts. What the shell does with a line takes the square
# of its length: longer ones are passed over, the scripts have no use for what is in them. The programs read the file themselves.
MAX_CONFIG_LINE=1000
MAX_CONFIG_LINES=20000
MAX_CONFIG_BYTES=1048576
declare -A CONFIG=()
readConfig() {
  local line indent key value depth i number=0 size=0 long=
  local -a indents=() names=()
  while IFS= read -r -n $((MAX_CONFIG_LINE + 1)) line || [[ -n $line ]]; do
    ((number += 1, size += ${#line} + 1))
    if ((number > MAX_CONFIG_LINES || size > MAX_CONFIG_BYTES)); then
      echo "$1 has more than $MAX_CONFIG_LINES lines or $MAX_CONFIG_BYTES bytes: FLINK_CONF_DIR names the folder that holds a configuration." >&2
      exit 1
    fi
    if ((${#line} > MAX_CONFIG_LINE)); then
      long=yes
      continue
    elif [[ -n $long ]]; then
      # The end of a long one.
      long=
      continue
    fi
    # Some editors put a byte order mark before the first line.
    line=${line#$'\xef\xbb\xbf'}
    [[ $line =~ ^([[:space:]]*)([^#:[:space:]\"\'-][^:]*):([[:space:]]+(.*))?$ ]] || continue
    indent=${#BASH_REMATCH[1]} key=${BASH_REMATCH[2]} value=${BASH_REMATCH[4]}
    while ((${#indents[@]} > 0 && indents[${#indents[@]} - 1] >= indent)); do
      unset "indents[${#indents[@]}-1]" "names[${#names[@]}-1]"
    done
    case $value in
      \"*\"*) value=${value#\"} value=${value%%\"*} ;;
      \'*\'*) value=${value#\'} value=${value%%\'*} ;;
      '#'*) value= ;;
      *)
        value=${value%%[[:space:]]#*}
        [[ $value =~ ^(.*[^[:space:]]) ]] && value=${BASH_REMATCH[1]} || value=
        ;;
    esac
    if [[ -z $value ]]; then
      indents+=("$indent") names+=("$key")
    else
      depth=
      for ((i = 0; i < ${#names[@]}; i++)); do depth+=${names[i]}.; done
      CONFIG[$depth$key]=$value
    fi
  done <"$1"
}
if [[ -f $FLINK_CONF_DIR/flink-conf.yaml ]]; then
  readConfig "$FLINK_CONF_DIR/flink-conf.yaml"
elif [[ -f $FLINK_CONF_DIR/config.yaml ]]; then
  readConfig "$FLINK_CONF_DIR/config.yaml"
fi

export FLINK_LOG_DIR=${FLINK_LOG_DIR:-${CONFIG[env.log.dir]:-$FLINK_HOME/log}}
export FLINK_PID_DIR=${FLINK_PID_DIR:-${CONFIG[env.pid.dir]:-/tmp}}
export MAX_LOG_FILE_NUMBER=${MAX_LOG_FILE_NUMBER:-${CONFIG[env.log.max]:-10}}
FLINK_SSH_OPTS=${FLINK_SSH_OPTS:-${CONFIG[env.ssh.opts]:-}}
STD_REDIRECT_TO_FILE=${STD_REDIRECT_TO_FILE:-${CONFIG[env.stdout-err.redirect-to-file]:-false}}
HIGH_AVAILABILITY=${HIGH_AVAILABILITY:-${CONFIG[high-availability.type]:-${CONFIG[high-availability]:-none}}}
HIGH_AVAILABILITY=${HIGH_AVAILABILITY,,}
[[ $HIGH_AVAILABILITY == standalone ]] && HIGH_AVAILABILITY=none
# Clients name the log of a local cluster by it.
export FLINK_IDENT_STRING=${FLINK_IDENT_STRING:-${USER:-${LOGNAME:-$(id -un)}}}
HOSTNAME=${HOSTNAME:-$(hostname)}

# Ends the script where no file can be made in a folder: what a daemon would leave there would be missed later. In a folder that is
# everybody's there may be a link under the name of the file: what it names is left alone.
needFolder() { # FOLDER FOR KEY VARIABLE
  local probe=$1/.probe.$$
  { mkdir -p "$1" && rm -f "$probe" && (set -o noclobber && : >"$probe") && rm -f "$probe"; } 2>/dev/null && return
  echo "The folder $(shown "$1") cannot be used for $2: $(id -un) can make no file in it. Name another with $3 or the variable $4." >&2
  exit 1
}

# Reads the host names of a file, one a line, into the array HOSTS. Comments and blank lines do not count. Ends the script where
# a line holds no name that can go to ssh, to another shell and to the terminal.
MAX_HOST_LINE=1000
readHosts() {
  local line number=0 name
  HOSTS=()
  if [[ ! -f $1 ]]; then
    echo "There is no file $1: it lists hosts, one a line." >&2
    exit 1
  fi
  while IFS= read -r -n $((MAX_HOST_LINE + 1)) line || [[ -n $line ]]; do
    ((++number))
    ((${#line} > MAX_HOST_LINE)) && badHost "$1" $number "it has more than $MAX_HOST_LINE characters" "$line"
    name=${line#$'\xef\xbb\xbf'}
    name=${name%%#*}
    name=${name//[[:space:]]/}
    name=${name##*/}
    case $name in
      '') ;;
      -*) badHost "$1" $number "a name cannot begin with -" "$name" ;;
      *[^[:alnum:]._:@%[\]-]*) badHost "$1" $number "there is a character in it that no name has" "$name" ;;
      *) HOSTS+=("$name") ;;
    esac
  done <"$1"
  return 0
}

# Ends the script over a line with hosts.
badHost() { # FILE LINE REASON TEXT
  echo "$1, line $2: $3: '$(shown "$4")'. Expected a host name." >&2
  exit 1
}

isLocal() {
  [[ $1 == localhost || $1 == 127.0.0.1 || $1 == ::1 ]]
}

# Runs a script of another machine, which says when it is done how it went, while this one goes on.
REMOTE=()
runRemote() { # HOST SCRIPT ARGUMENTS
  # shellcheck disable=SC2086  # several options in one variable
  ssh -n $FLINK_SSH_OPTS -- "$1" "/bin/bash -l \"$FLINK_BIN_DIR/$2\" ${*:3}" &
  REMOTE+=($!)
}

# Waits for the scripts of other machines; false if one failed.
waitForRemote() {
  local pid failed=0
  for pid in "${REMOTE[@]}"; do wait "$pid" || failed=1; done
  REMOTE=()
  return $failed
}

# Starts or stops a TaskManager for each line of conf/workers, elsewhere by ssh. False if one failed.
TMWorkers() {
  local host failed=0
  readHosts "$FLINK_CONF_DIR/workers"
  for host in "${HOSTS[@]}"; do
    if isLocal "$host"; then
      "$FLINK_BIN_DIR/taskmanager.sh" "$1" || failed=1
    else
      runRemote "$host" taskmanager.sh "$1"
    fi
  done
  waitForRemote && return $failed
}

# Starts or stops a JobManager for each line of conf/masters (host or host:port), elsewhere by ssh. False if one failed.
JMMasters() {
  local master host port failed=0
  readHosts "$FLINK_CONF_DIR/masters"
  for master in "${HOSTS[@]}"; do
    host=${master%%:*} port=
    [[ $master == *:* ]] && port=${master##*:}
    [[ $1 == start ]] || host='' port=''
    if isLocal "${master%%:*}"; then
      "$FLINK_BIN_DIR/jobmanager.sh" "$1" $host $port || failed=1
    else
      runRemote "${master%%:*}" jobmanager.sh "$1" $host $port
    fi
  done
  waitForRemote && return $failed
}

# The examples name this folder in full, behind a blank or a quote. After the installation was moved or copied the first script
# that is run, by somebody who may write there, names its new place in them. Doing it twice, or halfway before, does no harm.
placeExamples() {
  local folder=$FLINK_HOME/examples before file text
  { read -r before <"$folder/.home"; } 2>/dev/null || return 0
  [[ $before != "$FLINK_HOME" && -w $folder ]] || return 0
  for file in "$folder"/*.sql; do
    [[ -f $file ]] || continue
    text=$(<"$file")
    text=${text//" $before/"/" $FLINK_HOME/"}
    text=${text//"'$before/"/"'$FLINK_HOME/"}
    printf '%s\n' "$text" >"$file.$$" && mv "$file.$$" "$file"
  done
  printf '%s\n' "$FLINK_HOME" >"$folder/.home.$$" && mv "$folder/.home.$$" "$folder/.home"
}
# Without them everything else works: a script that asks whether this file could be read is told so.
placeExamples || true
