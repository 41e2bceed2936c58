package bind

import (
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/interlock-run/interlock/host/prefect"
)

// decoder walks a body that is known to be valid JSON.
type decoder struct {
	binder *Binder
	b      []byte
	i      int // of the next byte; at the start of a value when a codec is called
	path   []step
	errs   []prefect.FieldError
}

type step struct {
	key     string
	index   int
	isIndex bool
}

// result returns the refused fields as one error.
func (d *decoder) result() error {
	if len(d.errs) == 0 {
		return nil
	}
	e := prefect.Errorf(prefect.Invalid, "Invalid request received.")
	e.Fields = d.errs
	return e
}

// fail refuses raw at the current path.
func (d *decoder) fail(typ, msg string, raw []byte, ctx map[string]any) {
	if len(d.errs) >= prefect.MaxFields {
		return
	}
	loc := make([]any, len(d.path))
	for i, s := range d.path {
		if loc[i] = any(s.key); s.isIndex {
			loc[i] = s.index
		}
	}
	e := prefect.FieldError{Loc: loc, Msg: msg, Type: typ, Input: json.RawMessage(append([]byte(nil), raw...))}
	if ctx != nil {
		e.Ctx = ctx
	}
	d.errs = append(d.errs, e)
}

func (d *decoder) space() {
	for d.i < len(d.b) {
		switch d.b[d.i] {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return
		}
	}
}

// skip moves past the value at i and returns it.
func (d *decoder) skip() []byte {
	start := d.i
	switch d.b[d.i] {
	case '"':
		d.skipString()
	case '{', '[':
		depth := 0
		for {
			switch d.b[d.i] {
			case '"':
				d.skipString()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			d.i++
			if depth == 0 {
				break
			}
		}
	default:
		for d.i < len(d.b) && !delimiter(d.b[d.i]) {
			d.i++
		}
	}
	return d.b[start:d.i]
}

func delimiter(c byte) bool {
	switch c {
	case ',', ']', '}', ':', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

func (d *decoder) skipString() {
	for d.i++; d.b[d.i] != '"'; d.i++ {
		if d.b[d.i] == '\\' {
			d.i++
		}
	}
	d.i++
}

// object calls fn for each member with the key, i at the value; fn moves past
// it. The key is valid during the call only.
func (d *decoder) object(fn func(key []byte)) {
	d.i++
	for {
		d.space()
		if d.b[d.i] == '}' {
			d.i++
			return
		}
		if d.b[d.i] == ',' {
			d.i++
			continue
		}
		start := d.i
		d.skipString()
		key := d.b[start+1 : d.i-1]
		for _, c := range key {
			if c == '\\' {
				s, _ := unquote(d.b[start:d.i])
				key = []byte(s)
				break
			}
		}
		d.space()
		d.i++ // the colon
		d.space()
		fn(key)
	}
}

// array calls fn for each element with i at it; fn moves past it.
func (d *decoder) array(fn func(index int)) {
	d.i++
	for n := 0; ; {
		d.space()
		switch d.b[d.i] {
		case ']':
			d.i++
			return
		case ',':
			d.i++
		default:
			fn(n)
			n++
		}
	}
}

// unquote decodes a JSON string. It reports false for a lone surrogate, which no
// UTF-8 text can hold.
func unquote(raw []byte) (string, bool) {
	in := raw[1 : len(raw)-1]
	plain := 0
	for plain < len(in) && in[plain] != '\\' {
		plain++
	}
	if plain == len(in) {
		return string(in), true
	}
	out, whole := append(make([]byte, 0, len(in)), in[:plain]...), true
	for i := plain; i < len(in); i++ {
		if in[i] != '\\' {
			out = append(out, in[i])
			continue
		}
		i++
		switch c := in[i]; c {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := hex4(in[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				pair := utf8.RuneError
				if i+6 < len(in) && in[i+1] == '\\' && in[i+2] == 'u' {
					pair = utf16.DecodeRune(r, hex4(in[i+3:]))
				}
				if r = pair; pair == utf8.RuneError {
					whole = false
				} else {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, c)
		}
	}
	return string(out), whole
}

func hex4(b []byte) rune {
	n, err := strconv.ParseUint(string(b[:4]), 16, 32)
	if err != nil {
		return utf8.RuneError
	}
	return rune(n)
}
