package main

import (
	"strings"
	"unicode/utf8"
)

// match reports whether the whole of s is as pattern has it: * stands for any
// text, ? for any one character.
func match(pattern, s string, fold bool) bool {
	literal, rest, starred := strings.Cut(pattern, "*")
	n, ok := prefix(literal, s, fold)
	if !ok || !starred && n != len(s) {
		return false
	}
	for s = s[n:]; starred; {
		if literal, rest, starred = strings.Cut(rest, "*"); !starred {
			return suffix(literal, s, fold)
		}
		// The first place is as good as any, since a star follows.
		end := find(literal, s, fold)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return true
}

// prefix returns the length of what literal, a pattern without stars, matches at
// the start of s.
func prefix(literal, s string, fold bool) (n int, ok bool) {
	for i := range len(literal) {
		if n == len(s) {
			return 0, false
		}
		switch {
		case literal[i] == '?':
			_, size := utf8.DecodeRuneInString(s[n:])
			n += size
			continue
		case literal[i] != s[n] && (!fold || lower(literal[i]) != lower(s[n])):
			return 0, false
		}
		n++
	}
	return n, true
}

// find returns where the first match of literal in s ends, -1 for none.
func find(literal, s string, fold bool) int {
	if !fold && !strings.Contains(literal, "?") {
		if i := strings.Index(s, literal); i >= 0 {
			return i + len(literal)
		}
		return -1
	}
	for i := 0; ; {
		if n, ok := prefix(literal, s[i:], fold); ok {
			return i + n
		}
		if i == len(s) {
			return -1
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
}

// suffix reports whether s ends with a match of literal.
func suffix(literal, s string, fold bool) bool {
	// A character has at most four bytes, so what is further ahead need not be tried.
	i := max(len(s)-utf8.UTFMax*len(literal), 0)
	for i < len(s) && !utf8.RuneStart(s[i]) {
		i++
	}
	for {
		if n, ok := prefix(literal, s[i:], fold); ok && i+n == len(s) {
			return true
		}
		if i == len(s) {
			return false
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
