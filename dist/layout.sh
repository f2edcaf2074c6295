#!/usr/bin/env bash
# Lays out an installation as Flink's: layout.sh PROGRAMS HOME [PLACE], PROGRAMS being the folder of the built programs, PLACE where
# the installation will be used, if not where it is laid out.
# What is there already and has not changed stays as it is, and programs that run are not disturbed.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
programs=$1
home=$2
mkdir -p "$home"/{bin,conf,lib,log,examples/data}
home=$(CDPATH='' cd -- "$home" && pwd -P)
place=${3:-$home}

put() { # SOURCE TARGET
  cmp -s "$1" "$2" || { cp -p "$1" "$2.new" && mv "$2.new" "$2"; }
}

for program in jobmanager taskmanager minicluster flink sql-client; do
  if [[ ! -e $home/lib/$program || $programs/$program -nt $home/lib/$program ]]; then
    cp -p "$programs/$program" "$home/lib/$program.new" && mv "$home/lib/$program.new" "$home/lib/$program"
  fi
done
for file in "$root"/dist/bin/*; do put "$file" "$home/bin/${file##*/}"; done
for file in "$root"/dist/conf/*; do put "$file" "$home/conf/${file##*/}"; done
put "$root/examples/quickstart.sh" "$home/examples/quickstart.sh"
# The processes of a cluster look for a relative path each in the folder that it was started in: the examples name their files in
# full, so that they run from any folder. Where the installation is moved or copied, bin/config.sh names its new place in them.
for file in "$root"/examples/*.sql; do
  text=$(<"$file")
  printf '%s\n' "${text//@HOME@/"$place"}" >"$home/examples/.filled"
  put "$home/examples/.filled" "$home/examples/${file##*/}"
done
printf '%s\n' "$place" >"$home/examples/.filled"
put "$home/examples/.filled" "$home/examples/.home"
rm -f "$home/examples/.filled"
for file in "$root"/examples/data/*; do put "$file" "$home/examples/data/${file##*/}"; done
put "$root/LICENSE" "$home/LICENSE"
# For containers and for Kubernetes: an image can be made of an installation, and manifests be applied from it.
while IFS= read -r -d '' file; do
  mkdir -p "$home/${file%/*}"
  put "$root/dist/$file" "$home/$file"
done < <(CDPATH='' cd -- "$root/dist" && find docker kubernetes -type f -print0)
