{{- /*
mirror-istio.split sets .http to routes by which the same destinations answer the same requests, but of which only
those with a safe method are mirrored. Where no route has a mirror, they are left as they are.

The first route that matches answers. So a mirrored one becomes two, one after the other: a copy for GET, HEAD and
OPTIONS, and itself without mirrors for what is left.
*/}}
{{- define "mirror-istio.split" }}
  {{- $safe := list "GET" "HEAD" "OPTIONS" }}
  {{- $http := list }}
  {{- range $i, $route := .http }}
    {{- $mirrored := list }}
    {{- $rest := list }}
    {{- if not (or $route.mirror $route.mirrors) }}
      {{- $http = append $http $route }}
    {{- else if $route.delegate }}
      {{- fail (printf "mirrorUnsafeMethods is false, but http[%d] delegates to a VirtualService that may match methods itself: give that the mirror, with methods in its matches" $i) }}
    {{- else }}
      {{- range $match := $route.match | default (list dict) }}
        {{- if not $match.method }}
          {{- $mirrored = append $mirrored (merge (dict "method" (dict "regex" (join "|" $safe))) $match) }}
          {{- $rest = append $rest $match }}
        {{- else if not (hasKey $match.method "exact") }}
          {{- fail (printf "mirrorUnsafeMethods is false, but http[%d] matches methods by %s, which can't be told apart: match each method as exact" $i (keys $match.method | sortAlpha | join ", ")) }}
        {{- else if has $match.method.exact $safe }}
          {{- $mirrored = append $mirrored $match }}
        {{- else }}
          {{- $rest = append $rest $match }}
        {{- end }}
      {{- end }}
    {{- end }}

    {{- if $mirrored }}
      {{- $copy := set (deepCopy $route) "match" $mirrored }}
      {{- if and $rest $copy.name }}
        {{- $_ := set $copy "name" (printf "%s-%s" $copy.name (join "-" $safe | lower)) }}
      {{- end }}
      {{- $http = append $http $copy }}
    {{- end }}
    {{- if $rest }}
      {{- $copy := omit $route "mirror" "mirrorPercentage" "mirrorPercent" "mirror_percent" "mirrors" }}
      {{- if $route.match }}
        {{- $_ := set $copy "match" $rest }}
      {{- end }}
      {{- $http = append $http $copy }}
    {{- end }}
  {{- end }}
  {{- $_ := set . "http" $http }}
{{- end }}
