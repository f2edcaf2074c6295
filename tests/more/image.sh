#!/usr/bin/env bash
# Builds the image from the archive on a base made of Debian's own packages, and runs its containers without a container engine, each
# with a root file system that is read-only and processes of its own: image.sh PACKAGES WORK VERSION
# Needs root. The base is kept in $XDG_CACHE_HOME/wiesel/services.
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
packages=$1
work=$2
version=$3
CASE="the image"
if ((EUID != 0)); then
  skip "needs root"
  exit 0
fi
"$root/dist/packages.sh" buildah debootstrap ps
# Storage of its own, which goes with the test.
export STORAGE_DRIVER=vfs BUILDAH_ISOLATION=chroot
buildah=(buildah --root "$work/storage" --runroot "$work/run")
PIDS=()
group=

clean_up() {
  local pid
  for pid in "${PIDS[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  "${buildah[@]}" umount --all >/dev/null 2>&1 || true
  "${buildah[@]}" rm --all >/dev/null 2>&1 || true
  [[ -z $group || ! -d $group ]] || rmdir "$group" || true
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# The smallest Debian that there is, as an archive.
base=$cache/debian-bookworm-$(dpkg --print-architecture).tar
if [[ ! -e $base ]]; then
  echo "  making a Debian from its packages (once, half a minute)"
  mkdir -p "$cache"
  mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\).*/\2/p' /etc/apt/sources.list.d/*.sources /etc/apt/sources.list 2>/dev/null | head -n 1 || true)
  debootstrap --variant=minbase bookworm "$work/debian" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" \
    || fail "debootstrap: $(tail -n 5 "$work/debootstrap.log")"
  rm -rf "$work"/debian/{dev,proc,sys}/* "$work"/debian/var/cache/apt/archives/*.deb
  tar -C "$work/debian" -cf "$base.new" .
  mv "$base.new" "$base"
fi

testing "the image is built from an installation"
container=$("${buildah[@]}" from scratch)
"${buildah[@]}" add -q "$container" "$base" / >/dev/null
"${buildah[@]}" commit -q "$container" localhost/debian-base >/dev/null
"${buildah[@]}" rm "$container" >/dev/null
mkdir "$work/context"
tar -xzf "$packages"/wiesel-"$version"-*.tar.gz -C "$work/context" --strip-components=1
"${buildah[@]}" bud --pull-never --build-arg BASE=localhost/debian-base --build-arg PROGRAMS=installed -t wiesel \
  -f "$work/context/docker/Dockerfile" "$work/context" >"$work/build.log" 2>&1 || fail "$(tail -n 20 "$work/build.log")"
configured=$("${buildah[@]}" inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}' localhost/wiesel)
[[ $configured == "9999:9999 [/usr/bin/tini -s -- /docker-entrypoint.sh]" ]] || fail "$configured"
container=$("${buildah[@]}" from --pull-never localhost/wiesel)
image=$("${buildah[@]}" mount "$container")
echo "  $(du -sm "$image" | cut -f 1) MB, of which Wiesel $(du -sm "$image/opt/flink" | cut -f 1) MB and Debian the rest"
# An engine puts this file there.
touch "$image/etc/hosts"

# Runs the image's entrypoint as number 1 among processes of its own, on a root file system that cannot be written, with folders
# mounted as -v FOLDER:PLACE says, variables as -e NAME=VALUE says, in a control group as -g says.
container() { # [-v FOLDER:PLACE]... [-e NAME=VALUE]... [-g FOLDER] [-h NAME] -- ARGUMENTS...
  local mounts= variables=() group= option
  while [[ $1 != -- ]]; do
    option=$1
    case $option in
      -v) mounts+="mount --bind ${2%%:*} $image${2#*:};" ;;
      -e) variables+=("$2") ;;
      -g) group=$2 ;;
    esac
    shift 2
  done
  shift
  exec unshare --mount --pid --fork --kill-child=KILL bash -c "set -e
    [[ -z '$group' ]] || echo 0 >'$group/cgroup.procs'
    mount --bind $image $image
    mount -o remount,bind,ro $image
    if touch $image/probe 2>/dev/null; then echo 'The root file system can be written.' >&2; exit 99; fi
    mount -t proc proc $image/proc
    mount --rbind /dev $image/dev
    mount -t tmpfs tmpfs $image/tmp
    mount -t tmpfs -o uid=9999,gid=9999 tmpfs $image/data
    mount -t tmpfs tmpfs $image/sys
    mkdir -p $image/sys/fs/cgroup
    mount --rbind /sys/fs/cgroup $image/sys/fs/cgroup
    mount --bind /etc/hosts $image/etc/hosts
    $mounts
    cd $image
    exec env -i PATH=/opt/flink/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin FLINK_HOME=/opt/flink HOME=/opt/flink \
      \"\${@:2:\$1}\" chroot --userspec=9999:9999 $image /usr/bin/tini -s -- /docker-entrypoint.sh \"\${@:\$1 + 2}\"" \
    container "${#variables[@]}" ${variables[@]+"${variables[@]}"} "$@"
}

# Starts a container in the background; its output is in $work/NAME.log, the process that is its number 1 in $FIRST.
start() { # NAME CONTAINER-ARGUMENTS...
  (container "${@:2}") >"$work/$1.log" 2>&1 &
  PIDS+=($!)
  local outer=$!
  eventually 20 pgrep -P "$outer" || fail "$1 did not start: $(<"$work/$1.log")"
  FIRST=$(pgrep -P "$outer")
  OUTER=$outer
}

log_has() { grep -qF "$2" "$work/$1.log"; }

# Waits for a line of a container's log.
wait_for() { # NAME TEXT
  eventually 30 log_has "$1" "$2" || fail "$1 has not said '$2': $(tail -n 20 "$work/$1.log")"
}

# Ends a container by a signal to its number 1, which passes it on.
stop_gently() { # NAME
  kill -TERM "$FIRST"
  local status=0
  wait "$OUTER" || status=$?
  ((status == 0)) || fail "$1 ended with status $status after SIGTERM: $(tail -n 5 "$work/$1.log")"
}

run() { (container "$@"); }

testing "help, what there is not, and any other command"
expect_status 0 run -- help
expect "$OUTPUT" "(jobmanager|standalone-job|taskmanager|sql-client|history-server)"
expect_status 1 run -- history-server
expect "$OUTPUT" "There is no history-server"
expect_status 127 run -- no-such-command
expect_status 0 run -- id -u
expect "$OUTPUT" 9999
expect_status 0 run -- flink --version
expect_status 1 run -- touch /opt/flink/conf/config.yaml
expect "$OUTPUT" "Permission denied"

testing "variables of Flink's image"
expect_status 0 run -e 'ENABLE_BUILT_IN_PLUGINS=flink-s3-fs-hadoop-2.3.0.jar;flink-azure-fs-hadoop-2.3.0.jar' -e SECRET=x -e \
  'FLINK_PROPERTIES=a.b:1
s3.secret-key: ${SECRET}$NONE 5$' -e JOB_MANAGER_RPC_ADDRESS=jm -e TASK_MANAGER_NUMBER_OF_TASK_SLOTS=3 -- printenv FLINK_PROPERTIES
expect "$OUTPUT" "flink-s3-fs-hadoop-2.3.0.jar: S3 is built in"
expect "$OUTPUT" "there is no plugin 'flink-azure-fs-hadoop-2.3.0.jar'"
expect "$OUTPUT" $'taskmanager.numberOfTaskSlots: 3\njobmanager.rpc.address: jm\na.b: 1\ns3.secret-key: x 5$'
expect_status 0 run -e 'FLINK_PROPERTIES=jobmanager.rpc.address: its-own' -e JOB_MANAGER_RPC_ADDRESS=jm -- printenv FLINK_PROPERTIES
[[ $OUTPUT != *jm* ]] || fail "$OUTPUT"

testing "a session cluster runs an example"
rest=$(free_port) rpc=$(free_port)
ports="rest.port: \${REST}
jobmanager.rpc.port: $rpc
security.internal.secret: 0123456789abcdef"
start jobmanager -e REST="$rest" -e FLINK_PROPERTIES="$ports" -e JOB_MANAGER_RPC_ADDRESS=localhost -- jobmanager
jobmanager_first=$FIRST jobmanager_outer=$OUTER
wait_for jobmanager "Rest endpoint listening at 0.0.0.0:$rest"
start taskmanager -e REST="$rest" -e FLINK_PROPERTIES="$ports" -e TASK_MANAGER_NUMBER_OF_TASK_SLOTS=3 -- \
  taskmanager -D jobmanager.rpc.address=localhost
has_slots() { [[ $(get "$rest" /overview) == *'"slots-total":3'* ]]; }
eventually 30 has_slots || fail "no slots: $(tail -n 20 "$work/taskmanager.log")"
expect_status 0 run -e REST="$rest" -e FLINK_PROPERTIES="$ports" -e JOB_MANAGER_RPC_ADDRESS=localhost -- \
  sql-client -f /opt/flink/examples/flights.sql
expect "$OUTPUT" "Received a total of"

testing "number 1 passes signals on and reaps"
nsenter -t "$jobmanager_first" -m -p -r -w -S 9999 -G 9999 sh -c '(sleep 1 &) ; exit 0'
is_reaped() { ! ps -o stat= --ppid "$jobmanager_first" | grep -q Z; }
has_adopted() { [[ $(pgrep -c -P "$jobmanager_first") -ge 2 ]]; }
eventually 1 has_adopted || fail "an orphan is not its child: $(ps --ppid "$jobmanager_first")"
eventually 5 is_reaped || fail "zombies: $(ps --ppid "$jobmanager_first")"
stop_gently taskmanager
FIRST=$jobmanager_first OUTER=$jobmanager_outer
stop_gently jobmanager
log_has jobmanager "RECEIVED SIGNAL SIGTERM" || fail "the JobManager has heard nothing of SIGTERM"

testing "a configuration in the place of the image's goes over its defaults, and under what the command says"
mkdir "$work/conf"
rest=$(free_port)
printf 'rest:\n  bind-address: 127.0.0.1\n  port: 1\njobmanager.rpc.port: %s\n' "$(free_port)" >"$work/conf/config.yaml"
start configured -v "$work/conf:/opt/flink/conf" -- jobmanager -D rest.port="$rest"
wait_for configured "Rest endpoint listening at 127.0.0.1:$rest"
wait_for configured "0.0.0.0"
stop_gently configured

testing "a container's limit is the size of its process"
for hierarchy in /sys/fs/cgroup/memory:memory.limit_in_bytes /sys/fs/cgroup:memory.max; do
  folder=${hierarchy%%:*}/wiesel-more-$$
  mkdir "$folder" 2>/dev/null || continue
  if [[ -e $folder/${hierarchy#*:} ]] && echo $((1200 << 20)) >"$folder/${hierarchy#*:}"; then
    group=$folder
    break
  fi
  rmdir "$folder"
done
if [[ -n $group ]]; then
  start limited -g "$group" -- taskmanager -D jobmanager.rpc.address=localhost -D jobmanager.rpc.port="$(free_port)"
  wait_for limited "Total Process Memory:"
  grep 'Total Process Memory:' "$work/limited.log" | grep -qF "$((1200 << 20)) bytes" \
    || fail "$(grep -F 'Total Process Memory' "$work/limited.log")"
  stop_gently limited
else
  skip "no control group can be made"
fi

testing "the Debian package is installed, makes its user and its secret once, and is purged"
debian=$("${buildah[@]}" from --pull-never localhost/debian-base)
"${buildah[@]}" copy -q "$debian" "$packages"/*.deb /wiesel.deb >/dev/null
cat >"$work/install.sh" <<'INSTALL'
set -e
apt-get update -q
apt-get install -qy --no-install-recommends /wiesel.deb
stat -c 'secret: %U %a' /etc/wiesel/internal.secret
id wiesel
cp /etc/wiesel/internal.secret /secret
dpkg-reconfigure wiesel
cmp /secret /etc/wiesel/internal.secret && echo the same secret
flink --version
setpriv --reuid wiesel --regid wiesel --clear-groups timeout --preserve-status -s TERM 5 \
  env FLINK_PROPERTIES="rest.port: $1
jobmanager.rpc.port: $2" /usr/lib/wiesel/bin/jobmanager.sh start-foreground
dpkg -V wiesel
apt-get purge -qy wiesel
[ ! -e /etc/wiesel ] && [ ! -e /var/lib/wiesel ] && [ ! -e /usr/lib/wiesel ] && echo all gone
INSTALL
"${buildah[@]}" copy -q "$debian" "$work/install.sh" /install.sh >/dev/null
expect_status 0 "${buildah[@]}" run --isolation chroot "$debian" -- bash /install.sh "$(free_port)" "$(free_port)"
for part in "secret: wiesel 600" "the same secret" "Rest endpoint listening" "all gone"; do expect "$OUTPUT" "$part"; done
