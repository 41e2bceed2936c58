package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memory returns the resident memory of a process and of all in its group, from
// /proc: "unknown" elsewhere.
func memory(pid int) string {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	var kilobytes int
	for _, stat := range stats {
		raw, err := os.ReadFile(stat)
		if err != nil {
			continue // gone since
		}
		// The name in parentheses may hold anything; state, ppid and pgrp follow it.
		_, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		if len(fields) < 3 || fields[2] != strconv.Itoa(pid) {
			continue
		}
		kilobytes += resident(filepath.Join(filepath.Dir(stat), "status"))
	}
	if kilobytes == 0 {
		return "unknown"
	}
	return fmt.Sprintf("%d MB", kilobytes/1024)
}

func resident(status string) int {
	raw, err := os.ReadFile(status)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0]) // 0 is told as unknown
			return n
		}
	}
	return 0
}
