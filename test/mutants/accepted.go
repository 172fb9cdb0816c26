package main

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed accepted.txt
var acceptedList string

// accepted are survivors that are left alone, with the reason for each. The keys are those of survivor.key.
type accepted map[string]string

// parseAccepted reads rows as accepted.txt has them: what a survivor is on a line of its own, and the reason on
// indented lines below.
func parseAccepted(list string) (accepted, error) {
	rows := accepted{}
	key := ""
	for line := range strings.Lines(list) {
		text := strings.TrimSpace(line)
		switch {
		case text == "" || strings.HasPrefix(line, "#"):
		case !strings.HasPrefix(line, " "):
			if key != "" && rows[key] == "" {
				return nil, fmt.Errorf("no reason is given for accepting %q", key)
			}
			key = text
			if rows[key] != "" {
				return nil, fmt.Errorf("%q is accepted twice", key)
			}
		case key == "":
			return nil, fmt.Errorf("%q is the reason for nothing", text)
		default:
			rows[key] = strings.TrimSpace(rows[key] + " " + text)
		}
	}
	if key != "" && rows[key] == "" {
		return nil, fmt.Errorf("no reason is given for accepting %q", key)
	}
	return rows, nil
}
