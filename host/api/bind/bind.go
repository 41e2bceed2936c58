package bind

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"unicode/utf8"

	"github.com/interlock-run/interlock/host/prefect"
)

// MaxDepth is how deep arrays and objects of a body may be nested.
const MaxDepth = 200

// Defaulter is a struct whose absent fields are not zero.
type Defaulter interface{ SetDefaults() }

// Checker is a struct with rules that concern more than the form of one field.
// CheckBind runs after all fields were decoded without an error.
type Checker interface{ CheckBind(r Reporter) }

// Listed is a struct of which a list has at most so many, which the list's own check
// says. No more than one beyond them is decoded: {} is short, and what it becomes is
// not.
type Listed interface{ MostListed() int }

// Unmarshaler is a type that decodes itself from one JSON value, of which it must
// keep no part uncopied.
type Unmarshaler interface {
	UnmarshalBind(raw []byte, r Reporter)
}

// Binder decodes bodies and remembers how each type is decoded. It is safe for
// concurrent use.
type Binder struct{ plans sync.Map }

// New returns an empty Binder.
func New() *Binder { return &Binder{} }

// Decode decodes body into dst, a non-nil pointer. Raw JSON in dst shares no
// memory with body. Errors: Invalid with Fields, BadRequest for a body that is
// not UTF-8.
func (b *Binder) Decode(body []byte, dst any) error {
	return b.decode(body, dst, "body")
}

func (b *Binder) decode(body []byte, dst any, root string) error {
	if !utf8.Valid(body) {
		return prefect.Errorf(prefect.BadRequest, "There was an error parsing the body: it is not UTF-8")
	}
	v := reflect.ValueOf(dst).Elem()
	d := &decoder{binder: b, b: body, path: append(make([]step, 0, 8), step{key: root})}
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 || string(trimmed) == "null" {
		b.decodeNothing(d, v)
		return d.result()
	}
	if err := checkSyntax(body); err != nil {
		return err
	}
	d.space()
	if v.Kind() == reflect.Struct {
		b.plan(v.Type(), false).fresh(d, v)
	} else {
		b.codec(v.Type(), options{})(d, v)
	}
	return d.result()
}

// decodeNothing stands for an absent body, or null.
func (b *Binder) decodeNothing(d *decoder, v reflect.Value) {
	if v.Kind() == reflect.Struct {
		if p := b.plan(v.Type(), false); p.embed {
			d.b, d.i = []byte("{}"), 0
			p.fresh(d, v)
			return
		}
	}
	d.fail("missing", "Field required", jsonNull, nil)
}

var jsonNull = json.RawMessage("null")

// checkSyntax returns Invalid with type json_invalid for what is no JSON or is
// nested too deep.
func checkSyntax(body []byte) error {
	offset, reason := 0, ""
	if at := tooDeep(body, MaxDepth); at >= 0 {
		offset, reason = at, "nested too deep"
	} else if !json.Valid(body) {
		var raw json.RawMessage
		err := json.Unmarshal(body, &raw)
		reason = "not valid JSON"
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			offset, reason = int(syntax.Offset), syntax.Error()
		}
	}
	if reason == "" {
		return nil
	}
	e := prefect.Errorf(prefect.Invalid, "the body is not valid JSON: %s", reason)
	e.Fields = []prefect.FieldError{{
		Loc: []any{"body", offset}, Type: "json_invalid", Msg: "JSON decode error",
		Input: json.RawMessage("{}"), Ctx: map[string]any{"error": reason},
	}}
	return e
}

// tooDeep returns where b nests deeper than max, -1 if nowhere.
func tooDeep(b []byte, max int) int {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case '{', '[':
			if depth++; depth > max {
				return i
			}
		case '}', ']':
			depth--
		}
	}
	return -1
}

// Reporter reports refused parts of the value that is being decoded.
type Reporter struct{ d *decoder }

// Fail refuses what lies at path (keys as string, indexes as int) below the
// value. raw is the refused JSON.
func (r Reporter) Fail(typ, msg string, raw []byte, path ...any) {
	defer r.enter(path)()
	r.d.fail(typ, msg, raw, nil)
}

// Try decodes raw into dst, a non-nil pointer, and returns what it refused, with
// paths as if raw lay at path below the value. Nothing is reported yet.
func (r Reporter) Try(raw []byte, dst any, path ...any) []prefect.FieldError {
	defer r.enter(path)()
	sub := &decoder{binder: r.d.binder, b: raw, path: r.d.path}
	v := reflect.ValueOf(dst).Elem()
	if v.Kind() == reflect.Struct {
		r.d.binder.plan(v.Type(), false).fresh(sub, v)
	} else {
		r.d.binder.codec(v.Type(), options{})(sub, v)
	}
	return sub.errs
}

// Report reports what Try returned.
func (r Reporter) Report(refused []prefect.FieldError) {
	if room := prefect.MaxFields - len(r.d.errs); len(refused) > room {
		refused = refused[:max(room, 0)]
	}
	r.d.errs = append(r.d.errs, refused...)
}

// Full reports whether enough was refused: more would not be reported.
func (r Reporter) Full() bool { return len(r.d.errs) >= prefect.MaxFields }

// enter makes path part of the current path until the returned func is called.
func (r Reporter) enter(path []any) func() {
	n := len(r.d.path)
	for _, p := range path {
		switch p := p.(type) {
		case string:
			r.d.path = append(r.d.path, step{key: p})
		case int:
			r.d.path = append(r.d.path, step{index: p, isIndex: true})
		}
	}
	return func() { r.d.path = r.d.path[:n] }
}

// Members calls fn for each member of raw, a valid JSON object, in order.
func Members(raw []byte, fn func(key string, value []byte)) {
	d := &decoder{b: raw}
	d.space()
	d.object(func(key []byte) { fn(string(key), d.skip()) })
}

// Elements calls fn for each element of raw, a valid JSON array, in order.
func Elements(raw []byte, fn func(index int, value []byte)) {
	d := &decoder{b: raw}
	d.space()
	d.array(func(i int) { fn(i, d.skip()) })
}
