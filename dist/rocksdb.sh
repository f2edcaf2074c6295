#!/usr/bin/env bash
# Compiles RocksDB once for all profiles and clones, and runs a command that links it: rocksdb.sh [COMMAND...]
#
# The library is made of the sources that come with the crate librocksdb-sys, as its build script makes it, in much less time: by
# clang, where there is one, and many sources joined in one, for which RocksDB is made and tested (its `make unity_test`). It goes
# to $XDG_CACHE_HOME/wiesel/rocksdb-VERSION-KEY, KEY standing for the compiler and its flags, and may be deleted at any time.
# The command, cargo as a rule, finds it through ROCKSDB_LIB_DIR and ROCKSDB_STATIC.
#
#   CXX, CXXFLAGS              another compiler, more flags
#   CARGO_BUILD_JOBS           how many compilers run at once
#   ROCKSDB_COMPILE=1          nothing is done here: the crate compiles RocksDB itself, for each profile and target folder
#   ROCKSDB_LIB_DIR            nothing is done here: the crate links the library of that folder
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

# What build.rs of this version defines, with the features that Cargo.toml names, on Linux.
known=0.19.0+11.8.1
flags=(-std=c++20 -O2 -fPIC -ffunction-sections -fdata-sections -include cstdint -Wno-invalid-offsetof
  -DNDEBUG=1 -DHAVE_ALIGNED_NEW -DHAVE_UINT128_EXTENSION -DSNAPPY=1 -DLZ4=1
  -DOS_LINUX -DROCKSDB_PLATFORM_POSIX -DROCKSDB_LIB_IO_POSIX -DROCKSDB_SCHED_GETCPU_PRESENT
  -DROCKSDB_AUXV_GETAUXVAL_PRESENT -DROCKSDB_FALLOCATE_PRESENT -DROCKSDB_RANGESYNC_PRESENT
  -Irocksdb/include -Irocksdb -Isnappy -I.)
# A part has about as many bytes of sources. Larger ones are compiled in less time together, but take more memory each (1 GB).
part_bytes=300000

say() { echo "RocksDB: $*" >&2; }
fail() { say "$*"; exit 1; }

# The version of a crate in Cargo.lock.
locked() {
  sed -n "/^name = \"$1\"\$/{n;s/^version = \"\(.*\)\"\$/\1/p;q}" "$root/Cargo.lock"
}

# The folder of a crate's sources, from $metadata.
sources_of() {
  grep -oE '"manifest_path":"[^"]*/'"$1"'(-[0-9][^"/]*)?/Cargo\.toml"' <<<"$metadata" \
    | sed -n '1{s/^"manifest_path":"//;s/\/Cargo\.toml"$//;p}'
}

# Writes the parts, each of which includes sources that follow each other in RocksDB's list.
write_parts() {
  local source bytes=$part_bytes number=0 part
  while read -r source; do
    if ((bytes >= part_bytes)); then
      bytes=0
      printf -v part '%s/part%02d.cc' "$build" "$((number += 1))"
    fi
    echo "#include \"$source\"" >>"$part"
    bytes=$((bytes + $(stat -c %s "rocksdb/$source")))
  done < <(grep -v '^util/build_version\.cc$' rocksdb_lib_sources.txt)
  echo '#include "build_version.cc"' >"$build/version.cc"
}

# How many compilers run at once: one a core, as far as the memory goes.
compilers() {
  local cores memory
  cores=${CARGO_BUILD_JOBS:-$(nproc)}
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1000000) }' /proc/meminfo)
  ((cores > memory)) && cores=$memory
  ((cores > 0)) || cores=1
  echo "$cores"
}

# Says why a compiler failed, and ends.
explain_failure() { # STATUS
  cat "$build"/*.log >"$folder.log"
  grep -m 5 'error:' "$folder.log" >&2 || tail -n 5 "$folder.log" >&2
  fail "${cxx[*]} failed with status $1; all that the compilers said is in $folder.log." \
    "If memory ran out, set CARGO_BUILD_JOBS=1. To try another compiler, set CXX=g++." \
    "To have it compiled as the crate does, which takes ten minutes for each profile, set ROCKSDB_COMPILE=1."
}

# Waits for one of the compilers that compile_parts has started, and counts it.
finish_part() {
  wait -n || explain_failure $?
  finished=$((finished + 1))
  say "$finished of ${#parts[@]} parts are compiled"
}

compile_parts() {
  local part parts=("$build"/*.cc) started=0 finished=0 at_once
  at_once=$(compilers)
  say "compiling $version with ${cxx[*]}, $at_once parts at once (minutes, once on this machine)"
  for part in "${parts[@]}"; do
    ((started - finished < at_once)) || finish_part
    "${cxx[@]}" "${flags[@]}" -c "$part" -o "${part%.cc}.o" >"${part%.cc}.log" 2>&1 &
    started=$((started + 1))
  done
  while ((finished < started)); do finish_part; done
  mkdir "$build/lib"
  ar crs "$build/lib/librocksdb.a" "${parts[@]/%.cc/.o}"
}

# Ends what runs in the background: it does not hear of the end of this script otherwise.
clean_up() {
  kill $(jobs -p) 2>/dev/null || true
  wait
  rm -rf "$build"
}

# Makes $folder, whole or not at all.
build_library() {
  local metadata crate lz4
  metadata=$(cargo metadata --manifest-path "$root/Cargo.toml" --format-version 1 --locked \
    --filter-platform "$(uname -m)-unknown-linux-gnu") || fail "cargo cannot get the sources of the crates; it says why above."
  crate=$(sources_of librocksdb-sys)
  lz4=$(sources_of lz4-sys)
  [[ -d $crate/rocksdb && -d $lz4/liblz4/lib ]] || fail "cargo metadata names no sources of librocksdb-sys and lz4-sys."
  flags+=("-I$lz4/liblz4/lib")
  rm -rf "$build"
  mkdir "$build"
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  CDPATH='' cd -- "$crate"
  write_parts
  compile_parts
  CDPATH='' cd -- "$OLDPWD"
  rm -f "$build"/*.{cc,o,log} "$folder.log"
  sync "$build/lib/librocksdb.a"
  mv -T "$build" "$folder"
  trap - EXIT INT TERM
}

# Another process, of another clone perhaps, may be at it.
build_once() {
  local lock
  mkdir -p "${folder%/*}"
  exec {lock}>"$folder.lock"
  if ! flock -n "$lock"; then
    say "another process compiles it; waiting"
    flock "$lock"
  fi
  [[ -e $folder/lib/librocksdb.a ]] || build_library
  exec {lock}>&-
}

platform=$(uname -sm)
if [[ -n ${ROCKSDB_COMPILE:-} || -n ${ROCKSDB_LIB_DIR:-} || -n ${CARGO_BUILD_TARGET:-} \
  || ! $platform =~ ^Linux\ (x86_64|aarch64)$ ]]; then
  (($# == 0)) || exec "$@"
  exit 0
fi

version=$(locked librocksdb-sys)
[[ $version == "$known" ]] || fail "Cargo.lock has librocksdb-sys $version, $0 makes what version $known makes." \
  "Compare build.rs of the two, then change the flags and \`known\`. Until then ROCKSDB_COMPILE=1 compiles it the crate's way."
read -ra cxx <<<"${CXX:-$(command -v clang++ || echo c++)}"
read -ra more_flags <<<"${CXXFLAGS:-}"
flags+=(${more_flags[@]+"${more_flags[@]}"})
compiler=$("${cxx[@]}" --version) || fail "there is no C++ compiler ${cxx[*]}: dist/packages.sh installs clang."
key=$(printf '%s\n' "$compiler" "$(locked lz4-sys)" "$part_bytes" "${flags[@]}" | sha256sum)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/wiesel/rocksdb-$version-${key:0:12}
build=$folder.new
[[ -e $folder/lib/librocksdb.a ]] || build_once

export ROCKSDB_STATIC=1 ROCKSDB_LIB_DIR=$folder/lib
(($# == 0)) || exec "$@"
