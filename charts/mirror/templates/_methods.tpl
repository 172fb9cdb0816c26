{{- /*
mirror.split sets .rules to rules by which the same backends answer the same requests, but of which only those with a
safe method are mirrored. Where no rule has a mirror, they are left as they are.

A mirrored rule becomes two: one for GET, HEAD and OPTIONS, and one without mirrors for the rest. The Gateway API
prefers matches by their path, then by whether they name a method, then by headers and query parameters. So the rule
for the safe methods would also win over headers that other rules ask for. That is why every match of the same path
gets the same methods: there is one for each safe method and one for the rest, and what decides between rules is
what decided before.

    /, mirrored to v2 ──────┬── GET /, HEAD /, OPTIONS /, mirrored to v2
                            └── /
    / with a header ─────────── / with a header, and GET, HEAD or OPTIONS, or none of them
    /other ──────────────────── /other
*/}}
{{- define "mirror.split" }}
  {{- $safe := list "GET" "HEAD" "OPTIONS" }}
  {{- $everything := list (dict "path" (dict "type" "PathPrefix" "value" "/")) }}

  {{- /* The paths that are mirrored without regard to the method, and one of the rules that do. */}}
  {{- $paths := dict }}
  {{- range $i, $rule := .rules }}
    {{- if include "mirror.isMirrored" $rule }}
      {{- range $match := $rule.matches | default $everything }}
        {{- if not $match.method }}
          {{- $_ := set $paths (include "mirror.path" $match) $i }}
        {{- end }}
      {{- end }}
    {{- end }}
  {{- end }}

  {{- $rules := list }}
  {{- $total := 0 }}
  {{- $largest := 0 }}
  {{- range $i, $rule := .rules }}
    {{- $matches := $rule.matches | default $everything }}
    {{- $isMirrored := include "mirror.isMirrored" $rule }}

    {{- /* The rules that it becomes, each by its methods; the empty one is the rest. */}}
    {{- $groups := list (append $safe "") }}
    {{- if contains "ReplacePrefixMatch" (toJson $rule) }}
      {{- $groups = list (list "GET") (list "HEAD") (list "OPTIONS") (list "") }}{{/* It takes exactly one match. */}}
    {{- else if $isMirrored }}
      {{- $groups = list $safe (list "") }}
    {{- end }}

    {{- $parts := list }}
    {{- range $methods := $groups }}
      {{- $part := list }}
      {{- range $match := $matches }}
        {{- $path := include "mirror.path" $match }}
        {{- if and $match.method (has $match.method $safe) (hasKey $paths $path) }}
          {{- $all := get $paths $path }}
          {{- fail (printf "mirrorUnsafeMethods is false, rules[%d] mirrors %s whatever the method, and rules[%d] matches that with method %s: if the first were split by methods, others might answer; name the methods in the matches of rules[%d]" $all $path $i $match.method $all) }}
        {{- else if and (not $match.method) (hasKey $paths $path) }}
          {{- range $method := $methods }}
            {{- $part = append $part (empty $method | ternary $match (merge (dict "method" $method) $match)) }}
          {{- end }}
        {{- else if has (has $match.method $safe | ternary $match.method "") $methods }}
          {{- $part = append $part $match }}
        {{- end }}
      {{- end }}
      {{- if $part }}
        {{- $parts = append $parts (dict "methods" $methods "matches" $part) }}
      {{- end }}
    {{- end }}

    {{- range $part := $parts }}
      {{- $new := deepCopy $rule }}
      {{- if ne (toJson $part.matches) (toJson $matches) }}
        {{- $_ := set $new "matches" $part.matches }}
      {{- end }}
      {{- if eq (first $part.methods) "" }}
        {{- $_ := include "mirror.filter" (dict "rule" $new) }}
      {{- else if and $new.name (gt (len $parts) 1) }}
        {{- $_ := set $new "name" (printf "%s-%s" $new.name (join "-" $part.methods | lower)) }}
      {{- end }}
      {{- $rules = append $rules $new }}
      {{- $total = add $total (len $part.matches) }}
      {{- $largest = max $largest (len $part.matches) }}
    {{- end }}
  {{- end }}

  {{- if or (gt (len $rules) 16) (gt $largest 64) (gt $total 128) }}
    {{- fail (printf "mirrorUnsafeMethods is false, which makes %d rules with %d matches, at most %d in one, of the %d rules here; the Gateway API allows 16 rules and 128 matches, at most 64 in one: mirror fewer rules, or name methods in the matches of the mirrored ones" (len $rules) $total $largest (len .rules)) }}
  {{- end }}
  {{- $_ := set . "rules" $rules }}
{{- end }}

{{- /* mirror.isMirrored is empty for a rule without mirrors. */}}
{{- define "mirror.isMirrored" }}
  {{- range prepend (.backendRefs | default list) . }}
    {{- range .filters }}
      {{- if eq .type "RequestMirror" }}true{{ end }}
    {{- end }}
  {{- end }}
{{- end }}

{{- /* mirror.path says of a match what ranks before its method: matches of which it says the same may be equals. */}}
{{- define "mirror.path" }}
  {{- $path := .path | default dict }}
  {{- $type := $path.type | default "PathPrefix" }}
  {{- $value := $path.value | default "/" }}
  {{- if eq $type "PathPrefix" }}
    {{- $value = trimSuffix "/" $value | default "/" }}
  {{- else if eq $type "RegularExpression" }}
    {{- $value = "paths" }}{{/* How these rank among themselves is up to the gateway. */}}
  {{- end }}
  {{- $type }} {{ $value }}
{{- end }}
