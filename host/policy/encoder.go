package policy

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
	"github.com/interlock-run/interlock/sdk/value"
)

// encoder appends JSON. Every member is followed by a comma; close takes the
// last one back.
type encoder struct {
	b    []byte
	lean bool // see call
}

// What follows appends one member each.

func (e *encoder) open(c byte) { e.b = append(e.b, c) }

func (e *encoder) close(c byte) {
	if last := len(e.b) - 1; e.b[last] == ',' {
		e.b = e.b[:last]
	}
	e.b = append(e.b, c, ',')
}

// key appends a name of the contract, which needs no escapes.
func (e *encoder) key(name string) {
	e.b = append(e.b, '"')
	e.b = append(e.b, name...)
	e.b = append(e.b, '"', ':')
}

func (e *encoder) text(name, s string) { e.cutText(name, s, leanText) }

// cutText appends a text, in a lean context at most so many bytes of it.
func (e *encoder) cutText(name, s string, most int) {
	if e.lean {
		s = prefect.Cut(s, most)
	}
	e.key(name)
	e.b = value.AppendString(e.b, s)
	e.b = append(e.b, ',')
}

// raw appends JSON that is there already, missing for none.
func (e *encoder) raw(name string, text json.RawMessage, missing string) {
	e.key(name)
	if len(text) == 0 {
		e.b = append(e.b, missing...)
	} else {
		e.b = append(e.b, text...)
	}
	e.b = append(e.b, ',')
}

func (e *encoder) optional(name string, s *string) {
	if s == nil {
		e.raw(name, nil, "null")
		return
	}
	e.text(name, *s)
}

func (e *encoder) int(name string, n int) {
	e.key(name)
	e.b = strconv.AppendInt(e.b, int64(n), 10)
	e.b = append(e.b, ',')
}

func (e *encoder) optionalInt(name string, n *int) {
	if n == nil {
		e.raw(name, nil, "null")
		return
	}
	e.int(name, *n)
}

// float appends a number; what JSON has no word for becomes 0.
func (e *encoder) float(name string, f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		f = 0
	}
	e.key(name)
	e.b = strconv.AppendFloat(e.b, f, 'g', -1, 64)
	e.b = append(e.b, ',')
}

func (e *encoder) bool(name string, b bool) {
	e.key(name)
	e.b = strconv.AppendBool(e.b, b)
	e.b = append(e.b, ',')
}

func (e *encoder) texts(name string, list []string) {
	e.key(name)
	e.open('[')
	for _, s := range list {
		e.b = value.AppendString(e.b, s)
		e.b = append(e.b, ',')
	}
	e.close(']')
}

func (e *encoder) id(name string, id *uuid.UUID) {
	e.key(name)
	if id == nil {
		e.b = append(e.b, "null,"...)
		return
	}
	e.b = append(e.b, '"')
	e.b = appendID(e.b, *id)
	e.b = append(e.b, '"', ',')
}

func (e *encoder) time(name string, t *prefect.Time) {
	e.key(name)
	if t == nil {
		e.b = append(e.b, "null,"...)
		return
	}
	e.b = append(e.b, '"')
	e.b = appendTime(e.b, t.Time)
	e.b = append(e.b, '"', ',')
}

func (e *encoder) setID(name string, id *uuid.UUID) {
	if id != nil {
		e.id(name, id)
	}
}

func (e *encoder) setTime(name string, t *prefect.Time) {
	if t != nil {
		e.time(name, t)
	}
}

func (e *encoder) setText(name string, s *string, most int) {
	if s != nil {
		e.cutText(name, *s, most)
	}
}

func (e *encoder) setBool(name string, b *bool) {
	if b != nil && *b {
		e.bool(name, true)
	}
}
