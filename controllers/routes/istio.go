package routes

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// httpRoute is what is read of an entry of a VirtualService's http:
// https://istio.io/latest/docs/reference/config/networking/virtual-service/.
type httpRoute struct {
	Match []httpMatchRequest `json:"match"`
	Route []struct {
		Destination destination `json:"destination"`
	} `json:"route"`
	Mirror  *destination `json:"mirror"`
	Mirrors []struct {
		Destination destination `json:"destination"`
		Percentage  *percentage `json:"percentage"`
	} `json:"mirrors"`
	MirrorPercentage *percentage `json:"mirrorPercentage"`
	// The two spellings of the field that mirrorPercentage took the place of.
	MirrorPercent      *uint32 `json:"mirrorPercent"`
	MirrorPercentSnake *uint32 `json:"mirror_percent"`
}

type destination struct {
	Host   string `json:"host"`
	Subset string `json:"subset"`
	Port   struct {
		Number uint32 `json:"number"`
	} `json:"port"`
}

type percentage struct {
	Value float64 `json:"value"`
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

func inVirtualService(routes []httpRoute) []mirroring {
	var all []mirroring
	for _, route := range routes {
		matches := make([]string, 0, len(route.Match))
		for _, m := range route.Match {
			matches = append(matches, m.String())
		}
		var from []string
		for _, to := range route.Route {
			from = append(from, to.Destination.String())
		}
		all = appendMirroring(all, strings.Join(matches, " or "), from, route.copies())
	}
	return all
}

func (r *httpRoute) copies() []copying {
	var mirrors []copying
	if r.Mirror != nil {
		mirrors = append(mirrors, copyTo(*r.Mirror, r.percentage()))
	}
	for _, m := range r.Mirrors {
		mirrors = append(mirrors, copyTo(m.Destination, m.Percentage))
	}
	return mirrors
}

func (r *httpRoute) percentage() *percentage {
	switch {
	case r.MirrorPercentage != nil:
		return r.MirrorPercentage
	case r.MirrorPercent != nil:
		return &percentage{Value: float64(*r.MirrorPercent)}
	case r.MirrorPercentSnake != nil:
		return &percentage{Value: float64(*r.MirrorPercentSnake)}
	default:
		return nil
	}
}

// copyTo reads a mirror, which without a percentage gets every request.
func copyTo(to destination, share *percentage) copying {
	if share == nil {
		return copying{to: to.String(), percent: everything}
	}
	return copying{to: to.String(), percent: decimal(share.Value), partial: true}
}

// String gives host[:port][ subset NAME].
func (d destination) String() string {
	name := d.Host
	if d.Port.Number != 0 {
		name = fmt.Sprintf("%s:%d", name, d.Port.Number)
	}
	if d.Subset != "" {
		name += " subset " + d.Subset
	}
	return name
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
