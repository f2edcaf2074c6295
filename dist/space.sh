#!/usr/bin/env bash
# Makes room for a build where the disk is nearly full: space.sh TARGET_FOLDER
#
# Cargo keeps what it built for every state and every path of the sources and deletes none of it: a dozen builds of the tests
# are tens of GB. With less than twenty GB free, what was built of Wiesel's own crates goes; the crates that it needs stay, since
# they take longest and change least. Says what it does, and nothing where there is room. Writes to standard error only.
set -euo pipefail
exec >&2
target=$(realpath -m -- "${1:?the target folder}")
cd "$(dirname "$0")/.."
# All programs and tests of one state of the sources, with a reserve for what the tests write.
needed_gb=20

[[ -d $target ]] || exit 0
free_gb() { df --output=avail -BG "$target" | tail -n 1 | tr -dc 0-9; }
before=$(free_gb)
((before < needed_gb)) || exit 0
echo "$before GB are free on the disk of $target, a build of all tests takes up to $needed_gb: earlier builds of Wiesel's own crates are deleted"
cargo clean --quiet --workspace --locked --target-dir "$target"
after=$(free_gb)
echo "$after GB are free"
((after >= needed_gb)) || echo "That may be too little: make room on that disk, or name a folder on another one by CARGO_TARGET_DIR"
