#!/usr/bin/env bash
# Packs built programs for users without a compiler: package.sh PROGRAMS TARGET VERSION [archive|debian]... leaves in TARGET
#   wiesel-VERSION-ARCH.tar.gz   an installation laid out as Flink's, to be unpacked anywhere
#   wiesel_VERSION_ARCH.deb      the same for Debian, with services of systemd, where there is dpkg-deb
# The same programs give the same bytes.
set -euo pipefail
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
programs=$1
target=$2
version=$3
shift 3
(($# > 0)) || set -- archive debian
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Files are as old as what they were made of.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null || stat -c %Y "$root/Cargo.toml")}

# An installation whose programs are without their symbols, which nobody needs who does not debug them.
lay_out() { # HOME PLACE
  "$root/dist/layout.sh" "$programs" "$1" "$2"
  strip --strip-unneeded "$1"/lib/*
}

# Appears whole or not at all.
appear() { # FILE NAME
  mv "$1" "$target/.$2.new"
  mv "$target/.$2.new" "$target/$2"
  echo "$target/$2 ($(du -h "$target/$2" | cut -f 1))" >&2
}

make_archive() {
  local name=wiesel-$version
  lay_out "$work/$name" "/opt/$name"
  chmod -R u=rwX,go=rX "$work/$name"
  tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -C "$work" -cf - "$name" \
    | gzip -9n >"$work/archive"
  appear "$work/archive" "$name-$(uname -m).tar.gz"
}

# An installation in /usr/lib/wiesel; what is to be changed, grows or is for people lies where Debian has it.
lay_out_package() { # FOLDER
  local home=$1/usr/lib/wiesel name
  lay_out "$home" /usr/lib/wiesel
  mkdir -p "$1"/{etc,usr/bin,usr/lib/systemd/system,usr/share/doc/wiesel}
  mv "$home/conf" "$1/etc/wiesel"
  rmdir "$home/log"
  ln -s /etc/wiesel "$home/conf"
  ln -s /var/log/wiesel "$home/log"
  for name in flink sql-client.sh; do ln -s "../lib/wiesel/bin/$name" "$1/usr/bin/$name"; done
  # Services have a /tmp of their own that goes with them, and state may be large.
  sed -i -e '/^# io:$/,$ s/^# //' -e 's|^    dirs: /tmp$|    dirs: /var/lib/wiesel/tmp|' "$1/etc/wiesel/config.yaml"
  cp "$root"/dist/systemd/*.service "$1/usr/lib/systemd/system/"
  cp "$root"/docs/*.md "$1/usr/share/doc/wiesel/"
  mv "$home/LICENSE" "$1/usr/share/doc/wiesel/copyright"
}

# What the programs need of other packages: as Debian's tool finds it, or by name where there is none.
shared_libraries() { # FOLDER
  if command -v dpkg-shlibdeps >/dev/null; then
    mkdir -p "$work/shlibs/debian"
    printf 'Source: wiesel\n\nPackage: wiesel\nArchitecture: any\n' >"$work/shlibs/debian/control"
    (cd "$work/shlibs" && dpkg-shlibdeps -O "$1"/usr/lib/wiesel/lib/* 2>/dev/null) | sed 's/^shlibs:Depends=//'
  else
    echo "libc6, libgcc-s1, libstdc++6"
  fi
}

write_control() { # FOLDER
  cat >"$1/DEBIAN/control" <<CONTROL
Package: wiesel
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: Wiesel <wiesel@localhost>
Section: database
Priority: optional
Installed-Size: $(du -sk "$1" | cut -f 1)
Depends: adduser, $(shared_libraries "$1")
Recommends: ca-certificates
Description: cluster runtime of Apache Flink SQL, without a JVM
 Runs streaming SQL of Apache Flink on a JobManager and TaskManagers that are
 native programs, with Flink's configuration, scripts and REST API.
CONTROL
  (cd "$1" && find etc -type f -printf '/%p\n' | sort) >"$1/DEBIAN/conffiles"
  (cd "$1" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$1/DEBIAN/md5sums"
}

make_debian_package() {
  local folder=$work/debian
  lay_out_package "$folder"
  mkdir "$folder/DEBIAN"
  write_control "$folder"
  cp "$root"/dist/debian/* "$folder/DEBIAN/"
  chmod -R u=rwX,go=rX "$folder"
  dpkg-deb --root-owner-group -Zzstd -z9 --build "$folder" "$work/package" >/dev/null
  appear "$work/package" "wiesel_${version}_$(dpkg --print-architecture).deb"
}

for what in "$@"; do
  case $what in
    archive) make_archive ;;
    debian)
      if command -v dpkg-deb >/dev/null; then
        make_debian_package
      else
        echo "There is no dpkg-deb here: no Debian package is made." >&2
      fi
      ;;
    *)
      echo "Unknown package '$what': expected archive or debian." >&2
      exit 1
      ;;
  esac
done
