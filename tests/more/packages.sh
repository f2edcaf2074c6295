#!/usr/bin/env bash
# Unpacks the archive and the Debian package and runs what is in them: packages.sh PACKAGES WORK VERSION
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
packages=$1
work=$2
version=$3
"$root/dist/packages.sh" systemd-analyze

# Runs an installation's quick start, which has ports and a configuration of its own.
quickstart() { # HOME
  expect_status 0 "$1/examples/quickstart.sh" "$1"
  expect "$OUTPUT" "State: FINISHED"
}

testing "the archive is laid out as Flink's and runs wherever it is unpacked"
archive=("$packages"/wiesel-"$version"-*.tar.gz)
tar -xzf "${archive[0]}" -C "$work"
home=$work/wiesel-$version
for path in bin/start-cluster.sh bin/flink conf/config.yaml lib/jobmanager lib/taskmanager log examples LICENSE \
  docker/Dockerfile kubernetes/session/kustomization.yaml; do
  [[ -e $home/$path ]] || fail "there is no $path"
done
quickstart "$home"
[[ $(<"$home/examples/flights.sql") == *"'$home/examples/data/"* ]] || fail "the examples do not name their folder"

testing "an archive of the same programs is the same, and says nothing of where it was made"
mkdir "$work/again"
"$root/dist/package.sh" "$home/lib" "$work/again" "$version" archive 2>/dev/null
cmp "${archive[0]}" "$work/again/${archive[0]##*/}" || fail "they differ"
mkdir "$work/fresh"
tar -xzf "${archive[0]}" -C "$work/fresh"
if named=$(grep -rlF "$root" "$work/fresh" --exclude-dir=lib); then
  fail "these name $root: $named"
fi

command -v dpkg-deb >/dev/null || { skip "there is no dpkg-deb"; exit 0; }
testing "the Debian package has its files where Debian has them"
package=("$packages"/wiesel_"$version"_*.deb)
mkdir "$work/deb" "$work/control"
dpkg-deb -x "${package[0]}" "$work/deb"
dpkg-deb -e "${package[0]}" "$work/control"
for path in etc/wiesel/config.yaml usr/bin/flink usr/lib/wiesel/lib/taskmanager usr/share/doc/wiesel/guide.md \
  usr/lib/systemd/system/wiesel-jobmanager.service; do
  [[ -e $work/deb/$path ]] || fail "there is no $path"
done
[[ $(readlink "$work/deb/usr/lib/wiesel/conf") == /etc/wiesel ]] || fail "conf is no link to /etc/wiesel"
expect "$(<"$work/deb/etc/wiesel/config.yaml")" $'\nio:\n  tmp:\n    dirs: /var/lib/wiesel/tmp'
expect "$(<"$work/control/conffiles")" /etc/wiesel/config.yaml
expect "$(dpkg-deb -f "${package[0]}" Depends)" libc6
(cd "$work/deb" && md5sum --quiet -c "$work/control/md5sums") || fail "md5sums"
expect "$(<"$work/deb/usr/lib/wiesel/examples/flights.sql")" "'/usr/lib/wiesel/examples/data/"

testing "the services are what systemd understands, and are shut in"
units=("$work"/deb/usr/lib/systemd/system/*.service)
((${#units[@]} == 2)) || fail "${units[*]}"
mkdir -p "$work/units"
for unit in "${units[@]}"; do
  # The programs are not installed here.
  sed 's|^ExecStart=.*|ExecStart=/bin/true|' "$unit" >"$work/units/${unit##*/}"
done
said=$(systemd-analyze verify --man=no "$work"/units/*.service 2>&1 | grep -F "$work/units" || true)
[[ -z $said ]] || fail "$said"
for unit in "${units[@]}"; do
  program=$(sed -n 's/^ExecStart=\([^ ]*\).*/\1/p' "$unit")
  [[ -x $work/deb$program ]] || fail "${unit##*/} starts $program, which is not in the package"
  expect "$(<"$unit")" $'\nUser=wiesel\n'
done
