package env

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	// maxFindings is how many findings an error lists; the first ones most often cause the rest.
	maxFindings = 20
	// maxBlock is how many lines are quoted of what isn't a line of the log: a stack trace, a report of the race detector.
	maxBlock = 60
	// panicMessage is what controller-runtime logs when it has recovered a panic.
	panicMessage = "Observed a panic"
	// stopMessage is what controller-runtime logs when it is told to stop. What is under way then is cut off.
	stopMessage = "Stopping and waiting for non leader election runnables"
	// maxLine is the length of the longest line that is read. The operator's own are shorter by far.
	maxLine = 4 << 20
)

// cutOffErrors are in the errors of what a stop has cut off: requests, and a start that wasn't through.
var cutOffErrors = []string{"context canceled", "Informer to sync"}

// AllowedError is a line of level error that an operator of a suite may log, or its last word.
type AllowedError struct {
	// Parts that the line contains, all of them.
	Parts []string
	// Because says why it is no fault: what the suite does that causes it.
	Because string
}

// allowedAlways are no faults in any suite.
var allowedAlways = []AllowedError{
	{[]string{`"error received after stop sequence was engaged"`, `"leader election lost"`},
		"controller-runtime says so whenever a leader is told to stop and gives its Lease back"},
	{[]string{`"Server rejected event (will not retry!)"`, "because it is being terminated"},
		"an Event about the last change of a scene whose namespace is deleted meanwhile; client-go logs it"},
	{[]string{`"Server rejected event (will not retry!)"`, `"error":"namespaces \"`, `\" not found"`},
		"the same, where the namespace is gone by the time that the Event is sent"},
}

// Judge stops every operator that ran in the Environment, and returns an error that lists what they did besides what the
// tests asked of them: a panic, also one that was recovered, a data race, an end by itself or in disorder, and every
// error in their logs but for the allowed ones. It also lists other programs that ended by themselves.
func (e *Environment) Judge(allowed ...AllowedError) error {
	e.mu.Lock()
	operators, processes := e.operators, e.processes
	e.mu.Unlock()
	var findings []string
	for _, p := range processes {
		select {
		case <-p.done:
			if p.byItself && p.name != operatorName {
				findings = append(findings, fmt.Sprintf("%s, process %d, has ended by itself: %v; its log ends:\n%s", p.name, p.PID(), p.exit(), tail(p.logFile)))
			}
		default:
		}
	}
	for _, o := range operators {
		findings = append(findings, o.judgeEnd()...)
		log, err := o.openLog()
		if err != nil {
			return fmt.Errorf("judging the operator: %w", err)
		}
		logged, err := judgeLog(log, slices.Concat(allowed, allowedAlways))
		if err := errors.Join(err, log.Close()); err != nil {
			return fmt.Errorf("judging the operator by %s: %w", o.LogFile(), err)
		}
		findings = append(findings, logged...)
	}
	if len(findings) == 0 {
		return nil
	}
	more := ""
	if dropped := len(findings) - maxFindings; dropped > 0 {
		findings, more = findings[:maxFindings], fmt.Sprintf("\n(and %d more)", dropped)
	}
	return fmt.Errorf("the operator, or a program beside it, did what no test asked it to:\n%s%s", strings.Join(findings, "\n"), more)
}

// judgeEnd ends the operator, unless it has ended already, and returns what was wrong with that.
func (o *Operator) judgeEnd() []string {
	err := o.Stop(syscall.SIGTERM)
	switch {
	case o.failed:
		return nil
	case o.byItself:
		return []string{fmt.Sprintf("process %d ended by itself: %s", o.PID(), o.exit())}
	case o.left:
		return []string{fmt.Sprintf("process %d left processes behind when it ended", o.PID())}
	case err != nil && !o.killed.Load() && !o.mayEnd.Load():
		return []string{fmt.Sprintf("process %d ended in disorder: %s", o.PID(), err)}
	default:
		return nil
	}
}

// openLog opens what this process has logged, and no earlier one with the same log.
func (p *Process) openLog() (io.ReadCloser, error) {
	log, err := os.Open(filepath.Clean(p.logFile))
	if err != nil {
		return nil, err
	}
	if _, err := log.Seek(p.logStart, io.SeekStart); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	return log, nil
}

// judgeLog returns the lines of an operator's log that tell of a fault.
func judgeLog(log io.Reader, allowed []AllowedError) ([]string, error) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, maxLine)
	lines.Split(wholeLines)
	var findings, block []string
	seen := map[logLine]bool{} // an error that is logged again, as retries do, says nothing new
	stopping := false
	endBlock := func() {
		if len(block) > 1 || len(block) == 1 && !isAllowed(block[0], allowed) {
			findings = append(findings, strings.Join(block[:min(len(block), maxBlock)], "\n"))
		}
		block = nil
	}
	for lines.Scan() {
		line := lines.Text()
		var logged logLine
		if json.Unmarshal([]byte(line), &logged) != nil {
			block = append(block, line) // Go's runtime says something, in many lines, or the operator itself in one
			continue
		}
		endBlock()
		stopping = stopping || logged.Msg == stopMessage
		cutOff := stopping && slices.ContainsFunc(cutOffErrors, func(words string) bool { return strings.Contains(logged.Error, words) }) && logged.Msg != panicMessage
		if !seen[logged] && !cutOff && logged.isFault(line, allowed) {
			findings = append(findings, line)
			seen[logged] = true
		}
	}
	endBlock()
	return findings, lines.Err()
}

// logLine is what a line of the operator's log says, apart from where and when.
type logLine struct{ Level, Logger, Msg, Error string }

func (l logLine) isFault(line string, allowed []AllowedError) bool {
	switch l.Level {
	case "debug", "info":
		return false
	case "error":
		return l.Msg == panicMessage || !isAllowed(line, allowed)
	default: // panic, fatal, and whatever there may be
		return true
	}
}

// wholeLines splits like bufio.ScanLines, but leaves out a last line without its end: the process was killed while it wrote it.
func wholeLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	if atEOF && !strings.Contains(string(data), "\n") {
		return len(data), nil, nil
	}
	return bufio.ScanLines(data, atEOF)
}

func isAllowed(line string, allowed []AllowedError) bool {
	for _, a := range allowed {
		matches := len(a.Parts) > 0
		for _, part := range a.Parts {
			matches = matches && strings.Contains(line, part)
		}
		if matches {
			return true
		}
	}
	return false
}
