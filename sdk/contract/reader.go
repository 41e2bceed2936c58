package contract

import (
	"errors"
	"strconv"
	"strings"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// reader walks a text and keeps the first error. Only one that is told to locate
// knows its paths: to put them together takes longer than to read, and nobody
// asks for them unless something is wrong.
type reader struct {
	err    error
	locate bool
}

// at returns a path's member or element.
func (r *reader) at(path, before, name, after string) string {
	if !r.locate {
		return ""
	}
	return path + before + name + after
}

func (r *reader) fail(path, reason string) {
	if r.err == nil {
		r.err = errors.New(path + ": " + reason)
	}
}

// object calls field for each member of an object, null members excepted, and
// fails for a key that stands twice and for what is no object. field returns
// false for a key it does not know.
func (r *reader) object(path string, v value.Value, field func(key, path string, v value.Value) bool) {
	if v.Kind() != value.Object {
		r.fail(path, "not an object")
		return
	}
	seen := make([]string, 0, 8)
	for key, member := range v.Members() {
		for _, earlier := range seen {
			if earlier == key {
				r.fail(path, "has "+strconv.Quote(key)+" twice")
			}
		}
		seen = append(seen, key)
		if r.err != nil {
			return
		}
		if !field(key, r.at(path, ".", key, ""), member) {
			r.fail(path, "has an unknown field "+strconv.Quote(key))
		}
	}
}

func (r *reader) elements(path string, v value.Value, element func(path string, v value.Value)) {
	if v.Kind() != value.Array {
		r.fail(path, "not a list")
		return
	}
	for i, e := range v.Elements() {
		if r.err != nil {
			return
		}
		element(r.at(path, "[", strconv.Itoa(i), "]"), e)
	}
}

func (r *reader) text(path string, v value.Value) string {
	s, ok := v.Text()
	if !ok {
		r.fail(path, "not a text")
	}
	return s
}

// optionalText reads a text or null.
func (r *reader) optionalText(path string, v value.Value) *string {
	if v.IsNull() {
		return nil
	}
	s := r.text(path, v)
	return &s
}

func (r *reader) oneOf(path string, v value.Value, options ...string) string {
	s := r.text(path, v)
	if r.err != nil {
		return s
	}
	for _, o := range options {
		if s == o {
			return s
		}
	}
	r.fail(path, strconv.Quote(s)+" is none of "+strings.Join(options, ", "))
	return s
}

func (r *reader) bool(path string, v value.Value) bool {
	b, ok := v.Bool()
	if !ok {
		r.fail(path, "neither true nor false")
	}
	return b
}

func (r *reader) int(path string, v value.Value, least, most int) int {
	n, ok := v.Int()
	if !ok || n < int64(least) || n > int64(most) {
		r.fail(path, "not a whole number from "+strconv.Itoa(least)+" to "+strconv.Itoa(most))
		return 0
	}
	return int(n)
}

func (r *reader) seconds(path string, v value.Value) float64 {
	f, ok := v.Float()
	if !ok || f <= 0 || f > maxTTLSeconds {
		r.fail(path, "not a number above 0")
	}
	return f
}

func (r *reader) texts(path string, v value.Value, each func(path, s string)) []string {
	var all []string
	r.elements(path, v, func(path string, e value.Value) {
		s := r.text(path, e)
		if r.err == nil && each != nil {
			each(path, s)
		}
		all = append(all, s)
	})
	return all
}

func (r *reader) id(path, s string) {
	if !isUUID(s) {
		r.fail(path, strconv.Quote(s)+" is not a lower-case UUID")
	}
}

func (r *reader) objectText(path string, v value.Value) abi.Raw {
	if v.Kind() != value.Object {
		r.fail(path, "not an object")
	}
	return raw(v)
}

func raw(v value.Value) abi.Raw { return append(abi.Raw(nil), v.Raw()...) }

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range []byte(s) {
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		default:
			return false
		}
	}
	return true
}
