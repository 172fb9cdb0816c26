{{/* The chart's name, for labels. */}}
{{- define "iter8-operator.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What every object is called: the release, and the chart too unless the release's name already says it. */}}
{{- define "iter8-operator.fullname" -}}
{{- $name := include "iter8-operator.name" . }}
{{- $default := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $default | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "iter8-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "iter8-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "iter8-operator.labels" -}}
{{ include "iter8-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "iter8-operator.serviceAccountName" -}}
{{ .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "iter8-operator.fullname" .) "default") }}
{{- end }}

{{- define "iter8-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* Who gets the rights. */}}
{{- define "iter8-operator.subjects" -}}
subjects:
- kind: ServiceAccount
  name: {{ include "iter8-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{/*
The operator's rights, as YAML with three lists of rules:

  cluster     on what has no namespace; always in a ClusterRole
  namespaced  on what has one; in the ClusterRole, or in a Role in each of watchNamespaces
  own         in the release's namespace

They come from files/role.yaml and files/legacy-role.yaml, which are generated from the operator's code, and from
the values.
*/}}
{{- define "iter8-operator.rules" -}}
{{- $cluster := list }}
{{- $namespaced := list }}
{{- $own := list }}
{{- range $document := splitList "\n---\n" (print "\n" (.Files.Get "files/role.yaml")) }}
  {{- $role := fromYaml $document }}
  {{- range $rule := $role.rules }}
    {{- if not $.Values.impersonation.enabled }}
      {{- $_ := set $rule "verbs" (without $rule.verbs "impersonate") }}
    {{- end }}
    {{- if has "gatewayclasses" $rule.resources }}
      {{- $cluster = append $cluster (merge (dict "resources" (list "gatewayclasses")) $rule) }}
      {{- $_ := set $rule "resources" (without $rule.resources "gatewayclasses") }}
    {{- end }}
    {{- if not $rule.verbs }}
    {{- else if eq $role.kind "Role" }}
      {{- $own = append $own $rule }}
    {{- else if without $rule.apiGroups "authentication.k8s.io" "authorization.k8s.io" }}
      {{- $namespaced = append $namespaced $rule }}
    {{- else }}
      {{- $cluster = append $cluster $rule }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if .Values.legacy.enabled }}
  {{- range (.Files.Get "files/legacy-role.yaml" | fromYaml).rules }}
    {{- if not (has "namespaces" .resources) }}
      {{- $namespaced = append $namespaced . }}
    {{- else if $.Values.legacy.namespaceSelector }}
      {{- $cluster = append $cluster . }}
    {{- end }}
  {{- end }}
  {{- if .Values.legacy.removeFinalizers }}
    {{- range concat (list
        (dict "group" "" "resource" "services")
        (dict "group" "" "resource" "configmaps")
        (dict "group" "apps" "resource" "deployments")
        (dict "group" "serving.kserve.io" "resource" "inferenceservices")) .Values.appResources }}
      {{- $namespaced = append $namespaced (dict "apiGroups" (list .group) "resources" (list .resource) "verbs" (list "patch")) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $read := list "get" "list" "watch" }}
{{- range .Values.appResources }}
  {{- $namespaced = append $namespaced (dict "apiGroups" (list .group) "resources" (list .resource) "verbs" $read) }}
{{- end }}
{{- $write := list "create" "delete" "patch" }}
{{- range .Values.routes }}
  {{- $namespaced = append $namespaced (dict "apiGroups" (list .group) "resources" (list .resource) "verbs" (concat $read $write)) }}
{{- end }}
{{- toYaml (dict "cluster" $cluster "namespaced" $namespaced "own" $own) }}
{{- end }}

{{/* The operator's configuration file. The first four kinds are those that it allows by default. */}}
{{- define "iter8-operator.configuration" -}}
apiVersion: config.iter8.tools/v1alpha1
kind: OperatorConfiguration
allowCrossNamespaceReferences: {{ .Values.allowCrossNamespaceReferences }}
{{- with .Values.watchNamespaces }}
watchNamespaces:
{{ toYaml . }}
{{- end }}
{{- with .Values.readiness }}
readiness:
{{ toYaml . }}
{{- end }}
routeKinds:
- group: gateway.networking.k8s.io
  kind: HTTPRoute
- group: gateway.networking.k8s.io
  kind: GRPCRoute
- group: networking.istio.io
  kind: VirtualService
- group: networking.istio.io
  kind: DestinationRule
{{- range .Values.routes }}
- group: {{ .group }}
  kind: {{ .kind }}
{{- end }}
mirrors:
  unknownGrace: {{ .Values.mirrors.unknownGrace }}
{{- with .Values.charts }}
charts:
  {{- if not (kindIs "invalid" .allowedRepositories) }}
  allowedRepositories: {{ toJson .allowedRepositories }}
  {{- end }}
  allowInsecure: {{ .allowInsecure }}
  {{- with .allowedAddresses }}
  allowedAddresses: {{ toJson . }}
  {{- end }}
  {{- with .deniedAddresses }}
  deniedAddresses: {{ toJson . }}
  {{- end }}
  {{- with .memory }}
  memory: {{ . }}
  {{- end }}
  {{- with .limits }}
  limits: {{ toJson . }}
  {{- end }}
  cacheDir: /var/cache/iter8-operator
  cacheSize: {{ .cacheSize }}
{{- end }}
{{- with .Values.legacy }}
{{- if .enabled }}
legacy:
  enabled: true
  gracePeriod: {{ .gracePeriod }}
  removeFinalizers: {{ .removeFinalizers }}
  {{- with .namespaceSelector }}
  namespaceSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .resourceTypes }}
  resourceTypes:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .chartRepositoryAliases }}
  chartRepositoryAliases:
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}
