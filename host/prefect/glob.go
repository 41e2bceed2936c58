package prefect

import (
	"slices"
	"strings"
)

// spec is a [ResourceSpec] made ready.
type spec []labelPatterns

type labelPatterns struct {
	label    string
	patterns []glob
}

func compileSpec(s ResourceSpec) spec {
	var all spec
	for label, patterns := range s {
		l := labelPatterns{label: label}
		for _, p := range patterns {
			l.patterns = append(l.patterns, compileGlob(p))
		}
		all = append(all, l)
	}
	return all
}

// matches reports whether the resource has every label with a value that one of
// its patterns matches.
func (s spec) matches(r Resource) bool {
	for _, l := range s {
		value, ok := r.Get(l.label)
		if !ok {
			return false
		}
		text := []rune(value)
		if !slices.ContainsFunc(l.patterns, func(g glob) bool { return g.match(text) }) {
			return false
		}
	}
	return true
}

// glob is a shell pattern over the whole of a text: * and ? match any characters
// and any one, [abc], [a-z] and [!abc] one of a set. A leading ! negates it all.
type glob struct {
	negated bool
	tokens  []token
}

// token is what a pattern says about one character; a star is about any number.
type token struct {
	kind tokenKind
	char rune
	set  []rune // between the brackets
}

type tokenKind uint8

const (
	tokenChar tokenKind = iota
	tokenAny
	tokenSet
	tokenStar
)

func compileGlob(pattern string) glob {
	rest, negated := strings.CutPrefix(pattern, "!")
	g := glob{negated: negated}
	p := []rune(rest)
	closed := true // a bracket may yet be closed
	for i := 0; i < len(p); i++ {
		t := token{char: p[i]}
		switch p[i] {
		case '*':
			t.kind = tokenStar
		case '?':
			t.kind = tokenAny
		case '[':
			if !closed {
				break
			}
			end := setEnd(p[i:])
			if end == 0 {
				closed = slices.Contains(p[i:], ']')
				break
			}
			t.kind, t.set = tokenSet, p[i+1:i+end]
			i += end
		}
		g.tokens = append(g.tokens, t)
	}
	return g
}

// match goes back to the last star only, so it takes at most
// len(tokens)*len(text) steps, and without a star len(text).
func (g glob) match(text []rune) bool { return g.matchTokens(text) != g.negated }

func (g glob) matchTokens(text []rune) bool {
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		if p < len(g.tokens) {
			if g.tokens[p].kind == tokenStar {
				star, mark = p, t
				p++
				continue
			}
			if g.tokens[p].matches(text[t]) {
				p++
				t++
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, t = star+1, mark
	}
	for p < len(g.tokens) && g.tokens[p].kind == tokenStar {
		p++
	}
	return p == len(g.tokens)
}

func (t *token) matches(c rune) bool {
	switch t.kind {
	case tokenAny:
		return true
	case tokenSet:
		return inSet(t.set, c)
	}
	return t.char == c
}

// setEnd returns where the set at the front of pattern ends, 0 if it does not. A
// bracket right after the opening one belongs to the set.
func setEnd(pattern []rune) int {
	i := 1
	if i < len(pattern) && pattern[i] == '!' {
		i++
	}
	if i < len(pattern) && pattern[i] == ']' {
		i++
	}
	for ; i < len(pattern); i++ {
		if pattern[i] == ']' {
			return i
		}
	}
	return 0
}

func inSet(set []rune, c rune) bool {
	negated := set[0] == '!'
	if negated {
		set = set[1:]
	}
	found := false
	for i := 0; i < len(set); i++ {
		if i+2 < len(set) && set[i+1] == '-' {
			found = found || set[i] <= c && c <= set[i+2]
			i += 2
			continue
		}
		found = found || set[i] == c
	}
	return found != negated
}
