package policy

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/value"
)

// What a module says is read strictly: fields that are not of the contract, a
// key given twice and values of another kind are errors, each with its place.

// misread is something wrong at a place in a JSON text.
type misread struct {
	path string // "decisions[0].state.type"
	what string
}

func (m *misread) Error() string {
	if m.path == "" {
		return m.what
	}
	return m.path + ": " + m.what
}

func wrong(format string, args ...any) error { return &misread{what: fmt.Sprintf(format, args...)} }

// at puts err one level down, in the field key.
func at(key string, err error) error {
	var m *misread
	if !errors.As(err, &m) {
		return err
	}
	switch {
	case m.path == "":
		m.path = key
	case m.path[0] == '[':
		m.path = key + m.path
	default:
		m.path = key + "." + m.path
	}
	return m
}

func atIndex(i int, err error) error {
	if err == nil {
		return nil
	}
	return at("["+strconv.Itoa(i)+"]", err)
}

// errUnknownField is returned by the setters of [fields].
var errUnknownField = errors.New("unknown field")

// fields gives each member of an object to set, by which only the fields that
// are known are taken. A key that comes twice is an error.
func fields(v value.Value, set func(key string, v value.Value) error) error {
	if v.Kind() != value.Object {
		return wrong("is not an object")
	}
	for key, member := range v.Members() {
		switch err := set(key, member); {
		case errors.Is(err, errUnknownField):
			return wrong("has no field %q", cut(key, 64))
		case err != nil:
			return at(key, err)
		}
	}
	return nil
}

// noDuplicates refuses objects with a key that comes twice, at any depth.
func noDuplicates(v value.Value) error {
	switch v.Kind() {
	case value.Array:
		for i, element := range v.Elements() {
			if err := noDuplicates(element); err != nil {
				return atIndex(i, err)
			}
		}
	case value.Object:
		var few [16]string
		seen := few[:0]
		var many map[string]bool
		for key, member := range v.Members() {
			for _, s := range seen {
				if s == key {
					return wrong("has %q twice", cut(key, 64))
				}
			}
			switch {
			case many[key]:
				return wrong("has %q twice", cut(key, 64))
			case len(seen) < cap(seen):
				seen = append(seen, key)
			default:
				if many == nil {
					many = map[string]bool{}
				}
				many[key] = true
			}
			if err := noDuplicates(member); err != nil {
				return at(key, err)
			}
		}
	}
	return nil
}

// elements gives each element of an array of at most limit to take.
func elements(v value.Value, limit int, take func(v value.Value) error) error {
	if v.Kind() != value.Array {
		return wrong("is not a list")
	}
	for i, element := range v.Elements() {
		if i >= limit {
			return wrong("has more than %d elements", limit)
		}
		if err := take(element); err != nil {
			return atIndex(i, err)
		}
	}
	return nil
}

// readText reads a text of at most limit bytes.
func readText(v value.Value, limit int, dst *string) error {
	text, ok := v.Text()
	if !ok {
		return wrong("is not a text")
	}
	if len(text) > limit {
		return wrong("is longer than %d bytes", limit)
	}
	*dst = text
	return nil
}

// readName reads a text of 1 to limit bytes.
func readName(v value.Value, limit int, dst *string) error {
	if err := readText(v, limit, dst); err != nil {
		return err
	}
	if *dst == "" {
		return wrong("is empty")
	}
	return nil
}

// readBool reads true or false.
func readBool(v value.Value, dst *bool) error {
	b, ok := v.Bool()
	if !ok {
		return wrong("is not true or false")
	}
	*dst = b
	return nil
}

// readInt reads a whole number from low to high.
func readInt(v value.Value, low, high int, dst *int) error {
	n, ok := v.Int()
	if !ok || n < int64(low) || n > int64(high) {
		return wrong("is not a whole number from %d to %d", low, high)
	}
	*dst = int(n)
	return nil
}

// readTime reads an RFC 3339 time.
func readTime(v value.Value, dst *prefect.Time) error {
	text, ok := v.Text()
	if ok {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			*dst = prefect.NewTime(t)
			return nil
		}
	}
	return wrong("is not an RFC 3339 time")
}

// readID reads a UUID in its usual form.
func readID(v value.Value, dst *uuid.UUID) error {
	text, ok := v.Text()
	if ok && len(text) == 36 {
		if id, err := uuid.Parse(text); err == nil {
			*dst = id
			return nil
		}
	}
	return wrong("is not a UUID")
}

// cut returns at most n bytes of s, whole runes.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
