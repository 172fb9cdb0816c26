package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of times in /proc: sysconf(_SC_CLK_TCK), 100 on every Linux.
const ticksPerSecond = 100

// pollInterval is the pace at which /proc is read.
const pollInterval = 100 * time.Millisecond

// memory is what a process holds of it, in bytes: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html.
type memory struct {
	// resident is VmRSS, of which private is what no file backs, and peak VmHWM.
	resident, private, peak int64
}

func memoryOf(pid int) (memory, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for _, line := range strings.Split(string(data), "\n") {
		field, value, _ := strings.Cut(line, ":")
		target, ok := map[string]*int64{"VmRSS": &m.resident, "RssAnon": &m.private, "VmHWM": &m.peak}[field]
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
		if err != nil {
			return memory{}, fmt.Errorf("reading %s of process %d: %w", field, pid, err)
		}
		*target = kib << 10
	}
	return m, nil
}

// settledMemory waits until resident memory has been still for a while, at most for the limit.
func settledMemory(ctx context.Context, pid int, limit time.Duration) (memory, error) {
	const still = 5 * time.Second
	began := time.Now()
	since := began
	last, err := memoryOf(pid)
	if err != nil {
		return memory{}, err
	}
	err = poll(ctx, time.Second, func() (bool, error) {
		now, err := memoryOf(pid)
		if err != nil {
			return false, err
		}
		if difference := now.resident - last.resident; difference > last.resident/100 || -difference > last.resident/100 {
			last, since = now, time.Now()
		}
		return time.Since(since) >= still || time.Since(began) >= limit, nil
	})
	if err != nil {
		return memory{}, err
	}
	return memoryOf(pid)
}

// cpuOf gives the CPU time that a process has taken, and when it was started, both to 10 milliseconds:
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html.
func cpuOf(pid int) (used time.Duration, started time.Time, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, time.Time{}, err
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return 0, time.Time{}, err
	}
	now := time.Now()
	// The fields after the name, which may hold anything, count from the third.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var ticks [3]int64
	for i, field := range []int{14, 15, 22} { // utime, stime, starttime
		if ticks[i], err = strconv.ParseInt(fields[field-3], 10, 64); err != nil {
			return 0, time.Time{}, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
		}
	}
	up, err := strconv.ParseFloat(strings.Fields(string(uptime))[0], 64)
	if err != nil {
		return 0, time.Time{}, fmt.Errorf("reading the uptime: %w", err)
	}
	age := time.Duration(up*float64(time.Second)) - ticksToTime(ticks[2])
	return ticksToTime(ticks[0] + ticks[1]), now.Add(-age), nil
}

// cpuOfBoth gives the CPU time that two processes have taken.
func cpuOfBoth(a, b int) (used [2]time.Duration, err error) {
	for i, pid := range []int{a, b} {
		if used[i], _, err = cpuOf(pid); err != nil {
			return used, err
		}
	}
	return used, nil
}

func ticksToTime(ticks int64) time.Duration {
	return time.Duration(ticks) * time.Second / ticksPerSecond
}

// waitIdle waits until a process has done next to nothing for a second.
func waitIdle(ctx context.Context, pid int) error {
	const quiet = time.Second
	var used time.Duration
	since := time.Now()
	return poll(ctx, pollInterval, func() (bool, error) {
		now, _, err := cpuOf(pid)
		if err != nil {
			return false, err
		}
		if now-used > quiet/50 {
			used, since = now, time.Now()
		}
		return time.Since(since) >= quiet, nil
	})
}

// poll waits until the condition holds.
func poll(ctx context.Context, interval time.Duration, condition func() (bool, error)) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if ok, err := condition(); ok || err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(data))[:3], " ")
}
