package prefect

import (
	"strings"
	"unicode"
)

// TextQueryLength bounds a text search query, in characters.
const TextQueryLength = 200

// TextQuery is a text search: words and "quoted phrases", a leading - or ! to
// exclude one and a leading + to require it. Terms are in lower case.
type TextQuery struct {
	Include  []string // at least one must occur, if there are any
	Exclude  []string // none may occur
	Required []string // all must occur
}

// ParseTextQuery reads a query; there is no such thing as a malformed one.
func ParseTextQuery(query string) TextQuery {
	var q TextQuery
	rest := []rune(strings.ToLower(query))
	for len(rest) > 0 {
		if unicode.IsSpace(rest[0]) {
			rest = rest[1:]
			continue
		}
		list := &q.Include
		switch rest[0] {
		case '-', '!':
			list = &q.Exclude
		case '+':
			list = &q.Required
		}
		if list != &q.Include {
			rest = rest[1:]
			if len(rest) == 0 || unicode.IsSpace(rest[0]) {
				continue // a sign by itself means nothing
			}
		}
		var term string
		term, rest = cutTerm(rest)
		if strings.TrimSpace(term) != "" {
			*list = append(*list, term)
		}
	}
	return q
}

// cutTerm takes a quoted phrase or a word from the front of text.
func cutTerm(text []rune) (term string, rest []rune) {
	if text[0] != '"' {
		i := 0
		for i < len(text) && !unicode.IsSpace(text[i]) && text[i] != '"' {
			i++
		}
		return string(text[:i]), text[i:]
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:]
		case text[i] == '\\' && i+1 < len(text) && (text[i+1] == '"' || text[i+1] == '\\'):
			i++
		}
		b.WriteRune(text[i])
	}
	return b.String(), nil
}

// Matches reports whether text, any case, fits the query.
func (q TextQuery) Matches(text string) bool {
	text = strings.ToLower(text)
	found := len(q.Include) == 0
	for _, term := range q.Include {
		found = found || strings.Contains(text, term)
	}
	for _, term := range q.Exclude {
		if strings.Contains(text, term) {
			return false
		}
	}
	for _, term := range q.Required {
		if !strings.Contains(text, term) {
			return false
		}
	}
	return found
}
