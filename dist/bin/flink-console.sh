#!/usr/bin/env bash
# Runs a daemon in the foreground: its log goes to standard error.
USAGE="Usage: flink-console.sh (taskexecutor|standalonesession|standalonejob) [args]"
script=$(readlink -f -- "${BASH_SOURCE[0]}") && source "${script%/*}/config.sh" || exit 1

# What the program is told to be, if it can be several things.
MODE=()
case ${1:-} in
  taskexecutor) BINARY=taskmanager ;;
  standalonesession) BINARY=jobmanager ;;
  standalonejob) BINARY=jobmanager MODE=(standalonejob) ;;
  *)
    echo "Unknown service '$(shown "${1:-}")'. $USAGE." >&2
    exit 1
    ;;
esac
case ${STD_REDIRECT_TO_FILE,,} in
  true)
    needFolder "$FLINK_LOG_DIR" logs env.log.dir FLINK_LOG_DIR
    exec >"$FLINK_LOG_DIR/flink-$FLINK_IDENT_STRING-$1-$HOSTNAME.out" 2>&1
    ;;
  false) ;;
  *)
    echo "Could not parse value '$(shown "$STD_REDIRECT_TO_FILE")' for key 'env.stdout-err.redirect-to-file': expected true or false." >&2
    exit 1
    ;;
esac
exec "$FLINK_LIB_DIR/$BINARY" "${MODE[@]}" --configDir "$FLINK_CONF_DIR" "${@:2}"
