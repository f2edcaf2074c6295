#!/usr/bin/env bash
# Runs SQL, interactively or from a file: `sql-client.sh --help`.
source "${BASH_SOURCE[0]%/*}/config.sh"
exec "$FLINK_LIB_DIR/sql-client" "$@"
