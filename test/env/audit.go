package env

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// AuditEvent is one request to the apiserver, answered: https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1.
type AuditEvent struct {
	Request
	// User who asked: system:serviceaccount:NAMESPACE:NAME for a ServiceAccount.
	User string
	// ImpersonatedUser is as whom User asked, if as somebody else.
	ImpersonatedUser string
	// UserAgent of the client.
	UserAgent string
	// Code is the HTTP status of the response.
	Code int
}

// AuditEvents returns those requests since the start that the filter takes (nil takes all), in the order in
// which they were answered. A request whose answer has been received is among them; a watch is when it has ended.
func (e *Environment) AuditEvents(filter func(AuditEvent) bool) ([]AuditEvent, error) {
	if rotated, _ := filepath.Glob(filepath.Join(e.dir, "audit-*.log")); len(rotated) > 0 {
		return nil, fmt.Errorf("the audit log has been rotated, so that requests are missing from it: %v", rotated)
	}
	log, err := os.Open(e.auditLog())
	if err != nil {
		return nil, fmt.Errorf("opening the audit log: %w", err)
	}
	defer log.Close() //nolint:errcheck // only read
	var events []AuditEvent
	lines := bufio.NewReader(log)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) { // a line without its end is being written
			return events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the audit log: %w", err)
		}
		event, err := parseAuditEvent(line)
		if err != nil {
			return nil, fmt.Errorf("parsing the audit log: %w", err)
		}
		if filter == nil || filter(event) {
			events = append(events, event)
		}
	}
}

func (e *Environment) auditLog() string { return filepath.Join(e.dir, "audit.log") }

func parseAuditEvent(line []byte) (AuditEvent, error) {
	type user struct {
		Username string `json:"username"`
	}
	var logged struct {
		RequestReceivedTimestamp time.Time `json:"requestReceivedTimestamp"`
		Verb                     string    `json:"verb"`
		User                     user      `json:"user"`
		ImpersonatedUser         user      `json:"impersonatedUser"`
		UserAgent                string    `json:"userAgent"`
		RequestURI               string    `json:"requestURI"`
		ObjectRef                struct {
			APIGroup    string `json:"apiGroup"`
			APIVersion  string `json:"apiVersion"`
			Resource    string `json:"resource"`
			Subresource string `json:"subresource"`
			Namespace   string `json:"namespace"`
			Name        string `json:"name"`
		} `json:"objectRef"`
		ResponseStatus struct {
			Code int `json:"code"`
		} `json:"responseStatus"`
	}
	if err := json.Unmarshal(line, &logged); err != nil {
		return AuditEvent{}, err
	}
	ref := logged.ObjectRef
	return AuditEvent{
		Request: Request{
			Time: logged.RequestReceivedTimestamp, Verb: logged.Verb, URI: logged.RequestURI,
			Group: ref.APIGroup, Version: ref.APIVersion, Resource: ref.Resource, Subresource: ref.Subresource,
			Namespace: ref.Namespace, Name: ref.Name,
		},
		User: logged.User.Username, ImpersonatedUser: logged.ImpersonatedUser.Username,
		UserAgent: logged.UserAgent, Code: logged.ResponseStatus.Code,
	}, nil
}
