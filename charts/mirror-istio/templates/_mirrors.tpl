{{- /*
mirror-istio.keep is empty where .mirror, which stands at .where, isn't to be there now. It gives a mirror without
a percentage the weight of its variant. A weight of 100 needs none.
*/}}
{{- define "mirror-istio.keep" }}
  {{- $target := dict "root" .root "destination" .mirror.destination }}
  {{- $_ := include "mirror-istio.target" $target }}
  {{- $keep := $target.available }}
  {{- if and $target.variant (not (hasKey .mirror "percentage")) }}
    {{- $weight := int64 $target.weight }}
    {{- if gt $weight 100 }}
      {{- fail (printf "%s points at variant %s, whose weight is %d: as a percentage it must be 0 to 100, or set a percentage for the mirror" .where $target.variant $weight) }}
    {{- else if eq $weight 0 }}
      {{- $keep = false }}
    {{- else if lt $weight 100 }}
      {{- $_ := set .mirror "percentage" (dict "value" $target.weight) }}
    {{- end }}
  {{- end }}
  {{- if $keep }}true{{ end }}
{{- end }}

{{- /*
mirror-istio.target says of a .destination whether all the variants that it points at are .available, and sets the
lowest .weight that one of them gives, with the name of that .variant.

Without a subset, it points at the variants that list the host's Service. With one whose labels the values give, it
points at those whose Pods carry these: those among them that list the host's Service, else, where others list it,
those that list no Service at all, since what lists another is of another app. Where it points at none (a Deployment
that isn't there has no labels), it takes every variant.
*/}}
{{- define "mirror-istio.target" }}
  {{- $root := .root }}
  {{- $subject := $root.Values.iter8.subject.namespace | default $root.Release.Namespace }}
  {{- $host := include "mirror-istio.host" (dict "host" .destination.host "root" $root) }}

  {{- $labels := dict }}
  {{- $isKnown := true }}
  {{- with .destination.subset }}
    {{- $isKnown = false }}
    {{- if $root.Values.subsets }}
      {{- $isOurs := eq $host (include "mirror-istio.host" (dict "host" (include "mirror-istio.subsetHost" $root) "root" $root)) }}
      {{- range $subset := $root.Values.subsets }}
        {{- if and $isOurs (eq $subset.name $.destination.subset) }}
          {{- $isKnown = true }}
          {{- $labels = $subset.labels | default dict }}
        {{- end }}
      {{- end }}
    {{- end }}
  {{- end }}

  {{- $isListed := false }}
  {{- $carrying := list }}
  {{- $listing := list }}
  {{- $alone := list }}
  {{- range $variant := $root.Values.iter8.variants }}
    {{- $carries := empty $labels }}
    {{- $lists := false }}
    {{- $isAlone := true }}
    {{- range $resource := $variant.resources }}
      {{- if eq $resource.kind "Service" }}
        {{- $isAlone = false }}
        {{- $lists = or $lists (eq $host (printf "%s.%s" $resource.name $subject)) }}
      {{- end }}
      {{- $podLabels := $resource.podLabels | default dict }}
      {{- $all := true }}
      {{- range $key, $value := $labels }}
        {{- $all = and $all (hasKey $podLabels $key) (eq $value (get $podLabels $key)) }}
      {{- end }}
      {{- $carries = or $carries $all }}
    {{- end }}
    {{- $isListed = or $isListed $lists }}
    {{- if $carries }}
      {{- $carrying = append $carrying $variant }}
      {{- if $lists }}
        {{- $listing = append $listing $variant }}
      {{- else if $isAlone }}
        {{- $alone = append $alone $variant }}
      {{- end }}
    {{- end }}
  {{- end }}

  {{- $candidates := list }}
  {{- if and $isKnown (or $listing (not $labels)) }}
    {{- $candidates = $listing }}
  {{- else if $isKnown }}
    {{- $candidates = $isListed | ternary $alone $carrying }}
  {{- end }}
  {{- $_ := set . "available" true }}
  {{- range $variant := $candidates | default $root.Values.iter8.variants }}
    {{- if not $variant.available }}
      {{- $_ := set $ "available" false }}
    {{- end }}
    {{- if and $candidates $variant.weighted (or (not $.variant) (lt (int64 $variant.weight) (int64 $.weight))) }}
      {{- $_ := set $ "variant" $variant.name }}
      {{- $_ := set $ "weight" $variant.weight }}
    {{- end }}
  {{- end }}
{{- end }}
