#!/usr/bin/env bash
# Runs SQL, interactively or from a file: `sql-client.sh --help`.
script=$(readlink -f -- "${BASH_SOURCE[0]}") && source "${script%/*}/config.sh" || exit 1
exec "$FLINK_LIB_DIR/sql-client" "$@"
