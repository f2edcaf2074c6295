#!/usr/bin/env bash
# What is made for users without a compiler, and for containers, run for real: run.sh HOME [packages|image|kubernetes]...
# HOME is an installation. Each part installs what it needs.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
home=$1
shift
(($# > 0)) || set -- packages image kubernetes
work=$(mktemp -d "${TMPDIR:-/var/tmp}/wiesel-more.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$root/Cargo.toml" | head -n 1)

"$root/dist/packages.sh" strip curl
for part in "$@"; do
  if [[ $part != kubernetes && ! -d $work/packages ]]; then
    mkdir "$work/packages"
    "$root/dist/package.sh" "$home/lib" "$work/packages" "$version"
  fi
  echo "$part"
  mkdir "$work/$part-work"
  "$root/tests/more/$part.sh" "$work/packages" "$work/$part-work" "$version"
done
echo "All passed."
