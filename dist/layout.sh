#!/usr/bin/env bash
# Lays out an installation as Flink's: layout.sh PROGRAMS HOME, PROGRAMS being the folder of the built programs.
# What is there already and has not changed stays as it is, and programs that run are not disturbed.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
programs=$1
home=$2
mkdir -p "$home"/{bin,conf,lib,log,examples/data}

put() { # SOURCE TARGET
  cmp -s "$1" "$2" || { cp -p "$1" "$2.new" && mv "$2.new" "$2"; }
}

for program in jobmanager taskmanager flink sql-client; do
  if [[ ! -e $home/lib/$program || $programs/$program -nt $home/lib/$program ]]; then
    cp -p "$programs/$program" "$home/lib/$program.new" && mv "$home/lib/$program.new" "$home/lib/$program"
  fi
done
for file in "$root"/dist/bin/*; do put "$file" "$home/bin/${file##*/}"; done
for file in "$root"/dist/conf/*; do put "$file" "$home/conf/${file##*/}"; done
for file in "$root"/examples/*.s*; do put "$file" "$home/examples/${file##*/}"; done
for file in "$root"/examples/data/*; do put "$file" "$home/examples/data/${file##*/}"; done
put "$root/LICENSE" "$home/LICENSE"
