#!/usr/bin/env bash
# Applies the manifests to a real API server, which says what is wrong with them: kubernetes.sh PACKAGES WORK VERSION
# The server, its store and its client are built once, with Go, into $XDG_CACHE_HOME/wiesel/services (minutes; Go 1.26 or later).
set -euo pipefail
source "$(dirname -- "${BASH_SOURCE[0]}")/lib.sh"
work=$2
PATH=$PATH:/usr/local/go/bin:$HOME/go/bin
"$root/dist/packages.sh" go openssl
sources=$root/tests/more/kubernetes
programs=$cache/kubernetes-$(sed -n 's/.*k8s.io\/kubernetes v\([0-9.]*\).*/\1/p' "$sources/go.mod" | head -n 1)
PIDS=()

clean_up() {
  ((${#PIDS[@]} == 0)) || kill "${PIDS[@]}" 2>/dev/null || true
  wait
}
trap clean_up EXIT
trap 'exit 130' INT TERM

build() { # NAME PACKAGE
  [[ ! -x $programs/$1 ]] || return 0
  echo "  building $1 (once, some minutes)"
  (cd "$sources" && CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -ldflags '-s -w' -o "$programs/$1.new" "$2") || return
  mv "$programs/$1.new" "$programs/$1"
}

CASE="a Kubernetes API server"
mkdir -p "$programs"
if ! { build etcd go.etcd.io/etcd/server/v3 && build kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver \
  && build kubectl k8s.io/kubernetes/cmd/kubectl; }; then
  skip "it cannot be built: that needs Go 1.26 or later, and the network once"
  exit 0
fi

# Starts the store and the server. An administrator is who has the token.
token=$(openssl rand -hex 16)
clients=$(free_port) peers=$(free_port) port=$(free_port)
echo "$token,admin,admin,system:masters" >"$work/tokens"
openssl genrsa -out "$work/accounts.key" 2048 2>/dev/null
"$programs/etcd" --data-dir "$work/etcd" --unsafe-no-fsync --log-level warn --initial-cluster "default=http://127.0.0.1:$peers" \
  --listen-client-urls "http://127.0.0.1:$clients" --advertise-client-urls "http://127.0.0.1:$clients" \
  --listen-peer-urls "http://127.0.0.1:$peers" --initial-advertise-peer-urls "http://127.0.0.1:$peers" >"$work/etcd.log" 2>&1 &
PIDS+=($!)
"$programs/kube-apiserver" --etcd-servers "http://127.0.0.1:$clients" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 \
  --secure-port "$port" --cert-dir "$work/certificates" --token-auth-file "$work/tokens" --authorization-mode RBAC \
  --endpoint-reconciler-type none --service-cluster-ip-range 10.0.0.0/24 --service-account-issuer https://kubernetes.default.svc \
  --service-account-key-file "$work/accounts.key" --service-account-signing-key-file "$work/accounts.key" >"$work/server.log" 2>&1 &
PIDS+=($!)

kubectl() {
  "$programs/kubectl" --kubeconfig /dev/null --cache-dir "$work/cache" --server "https://127.0.0.1:$port" --token "$token" \
    --insecure-skip-tls-verify "$@"
}

is_ready() { [[ $(kubectl get --raw /readyz) == ok ]]; }
eventually 120 is_ready || fail "the API server is not ready: $(tail -n 5 "$work/server.log")"
cp -r "$root/dist/kubernetes" "$work/kubernetes"
cd "$work/kubernetes"

# A namespace whose pods are to be restricted: what is not is warned of.
namespace() { # NAME
  kubectl create namespace "$1" >/dev/null
  kubectl label namespace "$1" pod-security.kubernetes.io/warn=restricted >/dev/null
}

# Applies a folder to a namespace. What the server says is in $OUTPUT.
apply() { # NAMESPACE FOLDER
  expect_status 0 kubectl -n "$1" apply --validate=strict -k "$2"
}

of() { # NAMESPACE KIND NAME JSONPATH
  kubectl -n "$1" get "$2" "$3" -o jsonpath="$4"
}

# Fails unless the configuration that a deployment or a job mounts is there.
has_its_configuration() { # NAMESPACE RESOURCE
  local name
  for name in $(kubectl -n "$1" get "$2" -o jsonpath='{.spec.template.spec.volumes[*].configMap.name}'); do
    kubectl -n "$1" get configmap "$name" >/dev/null || fail "$2 mounts $name, which is not there"
  done
}

testing "a session cluster is valid, restricted, and has its configuration"
namespace session
apply session session
[[ $OUTPUT != *Warning* ]] || fail "$OUTPUT"
for role in jobmanager taskmanager; do has_its_configuration session "deployment/flink-$role"; done
apply session session
[[ $OUTPUT != *created* ]] || fail "applied twice: $OUTPUT"

testing "an application is valid, restricted, and has its script"
namespace application
apply application application
[[ $OUTPUT != *Warning* ]] || fail "$OUTPUT"
has_its_configuration application job/flink-jobmanager
[[ $(of application job flink-jobmanager '{.spec.template.spec.volumes[*].configMap.name}') == *flink-usrlib-* ]] || fail "no usrlib"

testing "components for S3 and for autoscaling"
mkdir with-all
cat >with-all/kustomization.yaml <<'YAML'
resources: [../session]
components: [../components/s3-checkpoints, ../components/autoscaling]
YAML
namespace all
apply all with-all
[[ $OUTPUT != *Warning* ]] || fail "$OUTPUT"
for role in jobmanager taskmanager; do
  expect "$(of all deployment "flink-$role" '{.spec.template.spec.containers[0].env}')" s3://BUCKET/checkpoints
  expect "$(of all deployment "flink-$role" '{.spec.template.spec.volumes}')" sts.amazonaws.com
done
kubectl -n all scale deployment flink-taskmanager --replicas 5 >/dev/null
apply all with-all
[[ $(of all deployment flink-taskmanager '{.spec.replicas}') == 5 ]] || fail "applying has taken the number from the autoscaler"
mkdir application-with-s3
cat >application-with-s3/kustomization.yaml <<'YAML'
resources: [../application]
components: [../components/s3-checkpoints]
YAML
namespace application-with-s3
apply application-with-s3 application-with-s3
expect "$(of application-with-s3 job flink-jobmanager '{.spec.template.spec.containers[0].env}')" s3://BUCKET/checkpoints

testing "the service account may do nothing"
account=system:serviceaccount:session:flink
for what in "get configmaps" "list pods" "create leases.coordination.k8s.io" "get secrets"; do
  # shellcheck disable=SC2086  # a verb and a resource
  expect_status 1 kubectl -n session auth can-i $what --as "$account"
done

testing "manifests in Flink's shape are valid; the check for restricted pods finds something"
namespace flink
apply flink flink
expect "$OUTPUT" "would violate PodSecurity"

testing "what is not valid is refused"
mkdir wrong
sed 's/readOnlyRootFilesystem/readOnlyRootFileSystem/' base/taskmanager.yaml >wrong/taskmanager.yaml
expect_status 1 kubectl -n flink apply --validate=strict -f wrong/taskmanager.yaml
expect "$OUTPUT" "unknown field"

testing "every key of the configuration has an effect"
keys=$(sed -n 's/^ *\([a-z][A-Za-z0-9]*\(\.[A-Za-z0-9-]\+\)\+\): .*/\1/p' base/config.yaml flink/flink-configuration-configmap.yaml \
  components/s3-checkpoints/properties.yaml)
(($(wc -w <<<"$keys") > 15)) || fail "keys: $keys"
for key in $keys; do
  grep -qxF "$key" "$root/common/src/config/honoured.txt" || fail "$key has none"
done
