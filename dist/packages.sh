#!/usr/bin/env bash
# Installs what a build needs and a fresh Debian machine lacks: a C++ compiler, make, curl, clang (which compiles RocksDB in less
# time; where CXX names another compiler it is not needed) and libclang (which reads the headers of RocksDB), the programs named
# as arguments, and Rust through rustup.
# Says nothing where all is there. Writes to standard error only.
set -euo pipefail
exec >&2

missing=()
command -v c++ >/dev/null && command -v make >/dev/null || missing+=(build-essential)
command -v curl >/dev/null || missing+=(curl)
[[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
[[ -n ${CXX:-} ]] || command -v clang++ >/dev/null || missing+=(clang)
compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null || ldconfig -p | grep -q 'libclang\.so\|libclang-[0-9]*\.so' || missing+=(libclang-dev)
for program in "$@"; do
  case $program in
    go) package=golang-go ;;
    strip) package=binutils ;;
    dpkg-shlibdeps) package=dpkg-dev ;;
    ps) package=procps ;;
    systemd-analyze) package=systemd ;;
    *) package=$program ;;
  esac
  command -v "$program" >/dev/null || missing+=("$package")
done
if ((${#missing[@]} > 0)); then
  if ! command -v apt-get >/dev/null; then
    echo "Please install: ${missing[*]} (or what your system calls them)."
    exit 1
  fi
  run=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || { echo "Please install as root: apt-get install ${missing[*]}"; exit 1; }
    run=(sudo)
  fi
  "${run[@]}" apt-get update -q
  DEBIAN_FRONTEND=noninteractive "${run[@]}" apt-get install -qy --no-install-recommends "${missing[@]}"
fi

if ! command -v cargo >/dev/null && [[ ! -x $HOME/.cargo/bin/cargo ]]; then
  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain none
fi
