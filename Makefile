# Everything runs from a fresh checkout with Go, git and make; Envoy comes by python3 with pip. Tools and the control plane are
# compiled from the modules that the go.mod files in test/ pin.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# The builds are large; two at once, under make -j, would only be slower.
.NOTPARALLEL:

BIN := bin
TOOL := go tool -modfile=test/tools/go.mod
# Programs of the tests are compiled like the operator, so that what both need is compiled once.
RUN := CGO_ENABLED=0 go run -trimpath

# What the control plane consists of; see test/env. KUBEBUILDER_ASSETS brings the first two along.
CONTROLPLANE := etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kwok
ifneq ($(KUBEBUILDER_ASSETS),)
CONTROLPLANE := $(filter-out etcd kube-apiserver,$(CONTROLPLANE))
endif

# Packages whose tests compare with golden files.
GOLDEN := ./test/charts/... ./test/mutants ./conversion/... ./cmd/kubectl-iter8/... ./controllers/mirrors
# Packages that make test tests, and further flags of go test. Both are for the command line: what the environment says
# of them would make a run smaller without a word. The traffic suite is make test-traffic.
PACKAGES = $$(go list -e ./... | grep -v /test/traffic)
TESTFLAGS =
# For make golden alone; a test that rewrites what it compares with can't fail.
unexport UPDATE_GOLDEN
# How every suite runs, whatever GOFLAGS say of which tests, and what judges it by the packages that have tests.
GOTEST = go test -json -count=1 -shuffle=on -run=. -skip='^$$' -short=false $(RACE) $(TESTFLAGS)
VERDICT = $(RUN) ./test/verdict $$(go list -e -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' $(1))
# The race detector takes a C compiler.
RACE := $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$(go env CC)" >/dev/null && echo -race)

# How many inputs each fuzz target is given. A count, not a time: at the end of a time Go 1.26 now and then fails a target that found
# nothing ("context deadline exceeded", golang/go#75804).
FUZZTIME ?= 100000x
# Flags of test/mutants, then packages.
MUTANTSFLAGS ?=

NAMESPACE ?= iter8-system
# The operator's image, as REPOSITORY:TAG, for make install.
IMAGE ?=

##@ Use

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: programs ## Walk through the mirroring tutorial, with live requests, on a control plane of its own, and stop it again.
	$(RUN) ./test/demo

.PHONY: demo-configmaps
demo-configmaps: programs ## The same tutorial with Iter8's ConfigMaps.
	$(RUN) ./test/demo -tutorial configmaps

.PHONY: demo-istio
demo-istio: programs ## Mirroring with an Istio VirtualService, with live requests.
	$(RUN) ./test/demo -tutorial istio

.PHONY: playground
playground: programs ## Start a control plane with the operator installed, and keep it until Ctrl-C; without requests.
	$(RUN) ./test/demo -playground

.PHONY: install
install: ## Install the operator into your own cluster (KUBECONFIG) with Helm: IMAGE=REPOSITORY:TAG, NAMESPACE.
	@[[ "$(IMAGE)" == *:* ]] || { echo 'make install takes IMAGE=REPOSITORY:TAG, an image of the operator that your cluster can pull' >&2; exit 2; }
	image='$(IMAGE)'; $(TOOL) helm upgrade --install iter8-operator charts/iter8-operator \
	  --namespace $(NAMESPACE) --create-namespace --wait \
	  --set "image.repository=$${image%:*}" --set-string "image.tag=$${image##*:}"

##@ Build

.PHONY: build
build: ## Build the operator and the plugin of kubectl: bin/iter8-operator, bin/kubectl-iter8.
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(BIN)/iter8-operator .
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o $(BIN)/kubectl-iter8 ./cmd/kubectl-iter8

.PHONY: controlplane
controlplane: ## Build the control plane that tests and the demo run on (about 15 minutes the first time).
	@test/controlplane/build.sh $(BIN) $(CONTROLPLANE)

# What tests, benchmark and demo run. The operator of the tests is built with the race detector, and with the flags of the tests,
# so that what both need is compiled once.
.PHONY: programs
programs: controlplane build
	@test/controlplane/build.sh $(BIN) helm

.PHONY: test-programs
test-programs: programs
	$(if $(RACE),CGO_ENABLED=1 go build -race -o $(BIN)/iter8-operator-race .)

# Continuous integration asks for the race detector; people may do without.
.PHONY: require-race
require-race:
	@[ -n "$(RACE)" ] || { echo 'the race detector takes a C compiler (and not CGO_ENABLED=0): install gcc' >&2; exit 1; }

# What brings requests to Pods: istiod and Envoy Gateway, which configure Envoy.
.PHONY: dataplanes
dataplanes: ## Build istiod and Envoy Gateway, and get an Envoy (about 20 minutes the first time).
	@test/controlplane/build.sh $(BIN) envoy pilot-discovery istio-validate envoy-gateway

.PHONY: clean
clean: ## Remove what was built.
	rm -rf $(BIN)

##@ Check

.PHONY: test
test: test-programs ## Run all tests, on a real control plane, with the race detector.
	@echo 'compiling and running the tests$(if $(RACE),, without the race detector, which takes a C compiler) (a few minutes until the first line, the first time)…'
	$(GOTEST) -timeout=30m $(PACKAGES) | $(call VERDICT,$(PACKAGES))

.PHONY: test-traffic
test-traffic: test-programs dataplanes ## Run the traffic suite: live requests through real Envoys, under istiod and under Envoy Gateway.
	$(GOTEST) -timeout=25m ./test/traffic/... | $(call VERDICT,./test/traffic/...)

.PHONY: safety
safety: programs dataplanes ## Measure what variant 2 can do to variant 1, for docs/safety.md (about 15 minutes).
	go test -count=1 -v -timeout=60m -run '^TestWhatVariantTwoCanDoToVariantOne$$' ./test/traffic -args -safety docs/safety.md -safety-seconds 15

.PHONY: bench
bench: programs ## Measure the operator against a floor, with typed policies, with Iter8's routemaps, and under attack.
	$(RUN) ./test/bench $(BENCHFLAGS)
	$(RUN) ./test/bench -routemaps $(BENCHFLAGS)
	$(RUN) ./test/bench -hostile -sizes 500 $(BENCHFLAGS)

.PHONY: fuzz
fuzz: ## Fuzz whatever parses what others wrote: FUZZTIME inputs (100000x) for each target.
	for package in ./conversion ./cmd/kubectl-iter8 ./controllers/chart/index ./controllers/chart/archive ./controllers/render ./controllers/guard ./controllers/mirrors; do \
	  targets=$$(go test -list '^Fuzz' $$package | grep '^Fuzz') || { echo "$$package has no fuzz targets" >&2; exit 1; }; \
	  for target in $$targets; do \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package || exit; \
	  done; \
	done

.PHONY: lint
lint: ## Run the linters, go vet among them (builds them first: a few minutes).
	$(TOOL) golangci-lint run

.PHONY: verify
verify: ## Generate everything again and lint; fail where a file changes.
	@test/tools/verify.sh generate manifests docs golden tidy -- lint

##@ Generate

.PHONY: generate
generate: ## Generate the API's deepcopy functions.
	$(TOOL) controller-gen object paths=./api/v1alpha1/...

.PHONY: manifests
manifests: ## Generate CRDs and RBAC into config/, and copy them into the operator's chart.
	$(TOOL) controller-gen crd rbac:roleName=iter8-operator paths=./api/v1alpha1/... paths=./controllers/... paths=. \
	  output:crd:dir=config/crd/bases output:rbac:dir=config/rbac
	$(TOOL) controller-gen rbac:roleName=iter8-operator-legacy paths=./conversion/... output:rbac:dir=config/rbac/legacy
	mkdir -p charts/iter8-operator/files/crds
	rm -f charts/iter8-operator/files/crds/*.yaml
	cp config/crd/bases/*.yaml charts/iter8-operator/files/crds/
	cp config/rbac/role.yaml charts/iter8-operator/files/role.yaml
	cp config/rbac/legacy/role.yaml charts/iter8-operator/files/legacy-role.yaml

.PHONY: docs
docs: ## Generate the references of the API and of its reasons: docs/api.md, docs/reasons.md.
	mkdir -p docs
	$(TOOL) crd-ref-docs --source-path=api/v1alpha1 --config=test/tools/crd-ref-docs.yaml --renderer=markdown --output-path=docs/api.md
	$(RUN) ./cmd/kubectl-iter8 explain --output markdown > docs/reasons.md

.PHONY: golden
golden: programs ## Write the golden files again from what is rendered now.
	UPDATE_GOLDEN=1 go test -count=1 $(GOLDEN)

.PHONY: tidy
tidy: ## Run go mod tidy in every module.
	for module in . test/tools test/controlplane test/controlplane/kwok test/controlplane/istiod test/controlplane/envoygateway; do (cd "$$module" && go mod tidy) || exit; done
