#!/usr/bin/env bash
# Builds the programs that tests and the demo need beside the operator, one after the other, into a folder:
#
#   build.sh FOLDER PROGRAM...
#
# The versions are those in the go.mod of each program's module here. A program that is there in that version
# is left alone. An Envoy isn't built, but found or downloaded, by envoy.sh.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$1
shift
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# describe sets what there is to know of a program: the folder of the go.mod, the package, its module, and how
# long two cores take where nothing is cached.
describe() {
  goMod=$here
  case $1 in
  etcd) package=go.etcd.io/etcd/server/v3 module=$package duration="about a minute and a half" ;;
  kube-apiserver) package=k8s.io/kubernetes/cmd/$1 module=k8s.io/kubernetes duration="about 6 minutes" ;;
  kube-controller-manager) package=k8s.io/kubernetes/cmd/$1 module=k8s.io/kubernetes duration="about 2 minutes" ;;
  kube-scheduler) package=k8s.io/kubernetes/cmd/$1 module=k8s.io/kubernetes duration="half a minute" ;;
  kubectl) package=k8s.io/kubernetes/cmd/$1 module=k8s.io/kubernetes duration="about a minute" ;;
  kwok) goMod=$here/kwok package=sigs.k8s.io/kwok/cmd/kwok module=sigs.k8s.io/kwok duration="about 2 minutes" ;;
  pilot-discovery) goMod=$here/istiod package=istio.io/istio/pilot/cmd/$1 module=istio.io/istio duration="about 11 minutes" ;;
  envoy-gateway) goMod=$here/envoygateway package=github.com/envoyproxy/gateway/cmd/$1 module=github.com/envoyproxy/gateway duration="about 7 minutes" ;;
  istio-validate) goMod=$here/istiod package=./validate module=istio.io/istio duration="a few seconds after pilot-discovery" ;;
  helm) goMod=$here/../tools package=helm.sh/helm/v3/cmd/helm module=helm.sh/helm/v3 duration="about a minute and a half" ;;
  *)
    echo "build.sh doesn't know how to build $1" >&2
    exit 2
    ;;
  esac
}

# stamp is the linker's way to tell a program its version. kubectl refuses to work without one.
stamp() {
  case $module in
  k8s.io/kubernetes) echo "-X k8s.io/component-base/version.gitVersion=$1" ;;
  helm.sh/helm/v3) echo "-X helm.sh/helm/v3/internal/version.version=$1" ;;
  esac
}

build() {
  (cd "$goMod" && CGO_ENABLED=0 go build -trimpath -ldflags "-s -w $(stamp "$version")" -o "$binary" "$package")
}

for program in "$@"; do
  if [ "$program" = envoy ]; then
    "$here/envoy.sh" "$folder"
    continue
  fi
  describe "$program"
  version=$(cd "$goMod" && go list -m -f '{{.Version}}' "$module")
  binary=$folder/$program
  # The binary itself tells of which version of its module it was built. What is built of a package here may have
  # changed since, and is built again, in a moment.
  if [ -x "$binary" ] && go version -m "$binary" | grep -qE "^[[:space:]](mod|dep)[[:space:]]+$module[[:space:]]+$version([[:space:]]|$)"; then
    [[ $package == ./* ]] || continue
    build
    continue
  fi
  echo "building $program $version ($duration the first time)…"
  SECONDS=0
  build
  echo "… done in $SECONDS s"
done
