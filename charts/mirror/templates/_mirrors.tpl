{{- /*
mirror.targets says where a mirror may go: it sets .services, by name, to what holds for the Services that variants
list, and .elsewhere to what holds for any other backend. Each has `available`; a Service also has the lowest
`weight` that one of its variants gives, and the name of that `variant`.

A Service that several variants list takes all of them to be available. A backend that none lists takes every
variant. One that doesn't trigger the policy always is available.
*/}}
{{- define "mirror.targets" }}
  {{- $services := dict }}
  {{- $elsewhere := dict "available" true }}
  {{- range $variant := .root.Values.iter8.variants }}
    {{- if not $variant.available }}
      {{- $_ := set $elsewhere "available" false }}
    {{- end }}
    {{- range $variant.resources }}
      {{- if eq .kind "Service" }}
        {{- $service := get $services .name | default (dict "available" true) }}
        {{- $_ := set $services .name $service }}
        {{- $_ := set $service "available" (and $service.available $variant.available) }}
        {{- if and $variant.weighted (or (not $service.variant) (lt (int64 $variant.weight) (int64 $service.weight))) }}
          {{- $_ := set $service "weight" $variant.weight }}
          {{- $_ := set $service "variant" $variant.name }}
        {{- end }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- $_ := set . "services" $services }}
  {{- $_ := set . "elsewhere" $elsewhere }}
{{- end }}

{{- /*
mirror.filter takes out of .rule the mirrors that .targets has no room for, or all of them where it has no .targets.
Filters stand in a rule, and in each of its backendRefs.
*/}}
{{- define "mirror.filter" }}
  {{- $in := . }}
  {{- range $holder := prepend (.rule.backendRefs | default list) .rule }}
    {{- $filters := list }}
    {{- range $filter := $holder.filters }}
      {{- $judged := dict "keep" true }}
      {{- if eq $filter.type "RequestMirror" }}
        {{- $judged = dict "mirror" $filter.requestMirror "where" $in.where "targets" $in.targets }}
        {{- if $in.targets }}
          {{- $_ := include "mirror.judge" $judged }}
        {{- end }}
      {{- end }}
      {{- if $judged.keep }}
        {{- $filters = append $filters $filter }}
      {{- end }}
    {{- end }}
    {{- $_ := unset $holder "filters" }}
    {{- if $filters }}
      {{- $_ := set $holder "filters" $filters }}
    {{- end }}
  {{- end }}
{{- end }}

{{- /*
mirror.judge sets .keep to whether .mirror, of the rule .where, stays; and its percent to the weight of the variant,
where it has no share of its own. A weight of 100 needs no percent, which older gateways don't know.
*/}}
{{- define "mirror.judge" }}
  {{- $to := .mirror.backendRef }}
  {{- $root := .targets.root }}
  {{- $namespace := $root.Values.iter8.subject.namespace | default $root.Release.Namespace }}
  {{- $target := .targets.elsewhere }}
  {{- if and (not $to.group) (eq ($to.kind | default "Service") "Service") (eq ($to.namespace | default $root.Release.Namespace) $namespace) }}
    {{- $target = get .targets.services $to.name | default $target }}
  {{- end }}
  {{- $_ := set . "keep" $target.available }}

  {{- if and $target.variant (not (hasKey .mirror "percent")) (not (hasKey .mirror "fraction")) }}
    {{- $weight := int64 $target.weight }}
    {{- if gt $weight 100 }}
      {{- fail (printf "%s mirrors to Service %s of variant %s, whose weight is %d: as a percentage it must be 0 to 100, or set percent in the filter" .where $to.name $target.variant $weight) }}
    {{- else if eq $weight 0 }}
      {{- $_ := set . "keep" false }}
    {{- else if lt $weight 100 }}
      {{- $_ := set .mirror "percent" $target.weight }}
    {{- end }}
  {{- end }}
{{- end }}
