{{- /* mirror-istio.metadata is that of both objects. */}}
{{- define "mirror-istio.metadata" -}}
name: {{ .Values.name | default .Values.iter8.subject.name | default .Release.Name | quote }}
{{- with .Values.labels }}
labels:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* mirror-istio.host writes a .host in one way: as NAME.NAMESPACE, where it may be a Service. */}}
{{- define "mirror-istio.host" }}
  {{- $parts := splitList "." .host }}
  {{- if eq (len $parts) 1 }}
    {{- .host }}.{{ .root.Release.Namespace }}
  {{- else if or (eq (len $parts) 2) (eq (index $parts 2) "svc") }}
    {{- index $parts 0 }}.{{ index $parts 1 }}
  {{- else }}
    {{- .host }}
  {{- end }}
{{- end }}

{{- /* mirror-istio.subsetHost is the host of the DestinationRule. */}}
{{- define "mirror-istio.subsetHost" }}
  {{- $root := . }}
  {{- $subsets := list }}
  {{- range .Values.subsets }}
    {{- $subsets = append $subsets .name }}
  {{- end }}

  {{- $destinations := list }}
  {{- range $key := list "http" "tls" "tcp" }}
    {{- range $route := get $root.Values $key }}
      {{- $destinations = append $destinations $route.mirror }}
      {{- range concat ($route.route | default list) ($route.mirrors | default list) }}
        {{- $destinations = append $destinations .destination }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- $hosts := dict }}
  {{- range $destination := compact $destinations }}
    {{- if has $destination.subset $subsets }}
      {{- $_ := set $hosts (include "mirror-istio.host" (dict "host" $destination.host "root" $root)) $destination.host }}
    {{- end }}
  {{- end }}

  {{- if .Values.host }}
    {{- .Values.host }}
  {{- else if eq (len $hosts) 1 }}
    {{- values $hosts | first }}
  {{- else }}
    {{- $found := keys $hosts | sortAlpha | join ", " | default "none" }}
    {{- fail (printf "the DestinationRule takes one host, but the hosts of which destinations and mirrors name its subsets are: %s; set host" $found) }}
  {{- end }}
{{- end }}

{{- /* mirror-istio.apiVersion of a .kind is v1, but on a cluster that is known to have older ones only. */}}
{{- define "mirror-istio.apiVersion" }}
  {{- $served := list }}
  {{- range $version := list "v1" "v1beta1" "v1alpha3" }}
    {{- if $.root.Capabilities.APIVersions.Has (printf "networking.istio.io/%s/%s" $version $.kind) }}
      {{- $served = append $served $version }}
    {{- end }}
  {{- end }}
  {{- print "networking.istio.io/" (first ($served | default (list "v1"))) }}
{{- end }}
