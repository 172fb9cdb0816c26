package routes

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// istioSites returns the mirrors of an entry of a VirtualService's http:
// https://istio.io/latest/docs/reference/config/networking/virtual-service/.
func istioSites(path Path, route map[string]any) []Site {
	var sites []Site
	if mirror := route["mirror"]; mirror != nil {
		fields := object(mirror)
		sites = append(sites, Site{Path: path.Child("mirror"), Backend: -1, Index: -1, Fields: fields, To: hostOf(fields), Share: mirrorShare(route)})
	}
	for i, mirror := range list(route, "mirrors") {
		fields := object(mirror)
		share := Share{Percent: 100}
		if percentage := fields["percentage"]; percentage != nil {
			share = shareOf(object(percentage)["value"])
		}
		sites = append(sites, Site{Path: path.Child("mirrors", i), Backend: -1, Index: i, Fields: fields,
			To: hostOf(object(fields["destination"])), Share: share})
	}
	return sites
}

// MirrorShares are the fields for the share of a VirtualService's mirror: first the one that counts, then the two spellings
// of the one that it took the place of.
var MirrorShares = [...]string{"mirrorPercentage", "mirrorPercent", "mirror_percent"}

// mirrorShare reads the share of the mirror that stands alone.
func mirrorShare(route map[string]any) Share {
	for i, name := range MirrorShares {
		switch given := route[name]; {
		case given == nil:
		case i == 0:
			return percentageOf(given)
		default:
			return shareOf(given)
		}
	}
	return Share{Percent: 100}
}

// percentageOf reads Istio's Percent, whose value is 0 where it is left out.
func percentageOf(given any) Share {
	percent := object(given)
	if percent != nil && percent["value"] == nil {
		return Share{0, true}
	}
	return shareOf(percent["value"])
}

func istioDestinations(route map[string]any) []Destination {
	given := list(route, "route")
	all := make([]Destination, 0, len(given))
	for _, to := range given {
		all = append(all, hostOf(object(object(to)["destination"])))
	}
	return all
}

func istioMatches(route map[string]any) []string {
	given := list(route, "match")
	texts := make([]string, 0, len(given))
	for _, fields := range given {
		var match httpMatchRequest
		if data, err := json.Marshal(fields); err != nil || json.Unmarshal(data, &match) != nil {
			texts = append(texts, unreadableMatch)
			continue
		}
		texts = append(texts, match.String())
	}
	return texts
}

type httpMatchRequest struct {
	URI            *stringMatch           `json:"uri"`
	Scheme         *stringMatch           `json:"scheme"`
	Method         *stringMatch           `json:"method"`
	Authority      *stringMatch           `json:"authority"`
	Headers        map[string]stringMatch `json:"headers"`
	WithoutHeaders map[string]stringMatch `json:"withoutHeaders"`
	QueryParams    map[string]stringMatch `json:"queryParams"`
	Port           uint32                 `json:"port"`
	SourceLabels   map[string]string      `json:"sourceLabels"`
	Gateways       []string               `json:"gateways"`
}

type stringMatch struct {
	Exact  *string `json:"exact"`
	Prefix *string `json:"prefix"`
	Regex  *string `json:"regex"`
}

// String says what a match asks for, joined by commas.
func (m httpMatchRequest) String() string {
	var parts []string
	one := func(name string, match *stringMatch) {
		if match != nil {
			parts = append(parts, name+match.String())
		}
	}
	several := func(name string, matches map[string]stringMatch) {
		for _, key := range slices.Sorted(maps.Keys(matches)) {
			parts = append(parts, name+" "+key+matches[key].String())
		}
	}
	one("method", m.Method)
	one("uri", m.URI)
	one("scheme", m.Scheme)
	one("authority", m.Authority)
	several("header", m.Headers)
	several("without header", m.WithoutHeaders)
	several("query", m.QueryParams)
	if m.Port != 0 {
		parts = append(parts, fmt.Sprintf("port %d", m.Port))
	}
	for _, key := range slices.Sorted(maps.Keys(m.SourceLabels)) {
		parts = append(parts, "from "+key+"="+m.SourceLabels[key])
	}
	if len(m.Gateways) > 0 {
		parts = append(parts, "at "+strings.Join(m.Gateways, " and "))
	}
	return join(parts)
}

// String gives =TEXT, =TEXT* or ~EXPRESSION; nothing, where it is enough that there is something.
func (m stringMatch) String() string {
	switch {
	case m.Exact != nil:
		return "=" + *m.Exact
	case m.Prefix != nil:
		return "=" + *m.Prefix + "*"
	case m.Regex != nil:
		return "~" + *m.Regex
	default:
		return ""
	}
}
