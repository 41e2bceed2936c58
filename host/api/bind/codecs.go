package bind

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// codec returns how a value of type t is decoded under o. A type that bodies
// cannot hold decodes to an error, never to a panic.
func (b *Binder) codec(t reflect.Type, o options) codec {
	switch {
	case reflect.PointerTo(t).Implements(unmarshalerType):
		return decodeCustom
	case t == uuidType:
		return decodeUUID
	case t == timeType:
		return decodeTime
	case t == reflect.TypeFor[json.RawMessage]():
		return rawCodec(o)
	case isOptional(t):
		return b.optionalCodec(t, o)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return b.pointerCodec(t, o)
	case reflect.String:
		return stringCodec(t, o)
	case reflect.Bool:
		return decodeBool
	case reflect.Int, reflect.Int32, reflect.Int64:
		return intCodec(o)
	case reflect.Float64:
		return floatCodec(o)
	case reflect.Slice:
		return b.sliceCodec(t, o)
	case reflect.Map:
		return b.mapCodec(t, o)
	case reflect.Struct:
		// The plan is looked up late: a type may hold itself.
		return func(d *decoder, v reflect.Value) { b.plan(t, o.closed).decode(d, v) }
	}
	return func(d *decoder, _ reflect.Value) { d.fail("unsupported", "Input cannot be read", d.skip(), nil) }
}

func decodeCustom(d *decoder, v reflect.Value) {
	v.Addr().Interface().(Unmarshaler).UnmarshalBind(d.skip(), Reporter{d})
}

func (b *Binder) pointerCodec(t reflect.Type, o options) codec {
	inner, elem := b.codec(t.Elem(), o), t.Elem()
	record := elem.Kind() == reflect.Struct && !special(elem)
	return func(d *decoder, v reflect.Value) {
		if d.b[d.i] == 'n' {
			d.skip()
			v.SetZero()
			return
		}
		p := reflect.New(elem)
		if record {
			b.plan(elem, o.closed).setDefaults(p.Elem())
		}
		inner(d, p.Elem())
		v.Set(p)
	}
}

// optionalCodec decodes prefect.Optional: field 0 is Set, field 1 is Value.
func (b *Binder) optionalCodec(t reflect.Type, o options) codec {
	value := t.Field(1).Type
	inner := b.codec(value, o)
	record := value.Kind() == reflect.Struct && !special(value)
	return func(d *decoder, v reflect.Value) {
		v.Field(0).SetBool(true)
		if record {
			b.plan(value, o.closed).setDefaults(v.Field(1))
		}
		inner(d, v.Field(1))
	}
}

func rawCodec(o options) codec {
	return func(d *decoder, v reflect.Value) {
		raw := d.skip()
		switch {
		case raw[0] == 'n' && (o.null || !o.object):
			v.SetZero()
		case o.object && raw[0] != '{':
			d.fail("dict_type", "Input should be a valid dictionary", raw, nil)
		default:
			v.SetBytes(append([]byte(nil), raw...))
		}
	}
}

func stringCodec(t reflect.Type, o options) codec {
	enum, enumType := o.enum, o.enumType
	if enum == nil {
		enum, enumType = valuesOf(t), "enum"
	}
	if enum != nil {
		return enumCodec(enum, enumType)
	}
	return func(d *decoder, v reflect.Value) {
		raw := d.skip()
		if raw[0] != '"' {
			d.fail("string_type", "Input should be a valid string", raw, nil)
			return
		}
		s, whole := unquote(raw)
		switch {
		case !whole:
			d.fail("string_unicode", "Input should be a valid string, unable to parse raw data as a unicode string", raw, nil)
		case o.maxLength > 0 && utf8.RuneCountInString(s) > o.maxLength:
			d.fail("string_too_long", "String should have at most "+strconv.Itoa(o.maxLength)+" characters", raw, map[string]any{"max_length": o.maxLength})
		case o.pattern && (s == "" || strings.ContainsAny(s, "/%&><")):
			d.fail("string_pattern_mismatch", "String should match pattern '"+namePattern+"'", raw, map[string]any{"pattern": namePattern})
		default:
			v.SetString(s)
		}
	}
}

// valuesOf returns the values of the vocabulary's closed string types, nil for
// any other type.
func valuesOf(t reflect.Type) []string {
	switch t {
	case reflect.TypeFor[prefect.StateType]():
		var values []string
		for _, s := range prefect.StateTypes() {
			values = append(values, string(s))
		}
		return values
	case reflect.TypeFor[prefect.WorkerStatus]():
		return []string{string(prefect.Online), string(prefect.Offline)}
	case reflect.TypeFor[prefect.Operator]():
		return []string{string(prefect.And), string(prefect.Or)}
	}
	return nil
}

const namePattern = "^[^/%&><]+$"

func enumCodec(values []string, errorType string) codec {
	known := make(map[string]bool, len(values))
	quoted := make([]string, len(values))
	for i, s := range values {
		known[s] = true
		quoted[i] = "'" + s + "'"
	}
	expected := quoted[0]
	if last := len(quoted) - 1; last > 0 {
		expected = strings.Join(quoted[:last], ", ") + " or " + quoted[last]
	}
	return func(d *decoder, v reflect.Value) {
		raw := d.skip()
		if raw[0] == '"' {
			if s, _ := unquote(raw); known[s] {
				v.SetString(s)
				return
			}
		}
		d.fail(errorType, "Input should be "+expected, raw, map[string]any{"expected": expected})
	}
}

func decodeBool(d *decoder, v reflect.Value) {
	raw := d.skip()
	switch raw[0] {
	case 't':
		v.SetBool(true)
	case 'f':
		v.SetBool(false)
	case '"':
		s, _ := unquote(raw)
		switch strings.ToLower(s) {
		case "1", "true", "t", "yes", "y", "on":
			v.SetBool(true)
		case "0", "false", "f", "no", "n", "off":
			v.SetBool(false)
		default:
			d.fail("bool_parsing", "Input should be a valid boolean, unable to interpret input", raw, nil)
		}
	case 'n', '{', '[':
		d.fail("bool_type", "Input should be a valid boolean", raw, nil)
	default:
		switch f, err := strconv.ParseFloat(string(raw), 64); {
		case err == nil && (f == 0 || f == 1):
			v.SetBool(f == 1)
		case strings.ContainsAny(string(raw), ".eE") && f != math.Trunc(f):
			d.fail("bool_type", "Input should be a valid boolean", raw, nil)
		default:
			d.fail("bool_parsing", "Input should be a valid boolean, unable to interpret input", raw, nil)
		}
	}
}

func decodeUUID(d *decoder, v reflect.Value) {
	raw := d.skip()
	if raw[0] != '"' {
		d.fail("uuid_type", "UUID input should be a string, bytes or UUID object", raw, nil)
		return
	}
	s, _ := unquote(raw)
	id, err := ParseUUID(s)
	if err != nil {
		d.fail("uuid_parsing", "Input should be a valid UUID", raw, map[string]any{"error": err.Error()})
		return
	}
	v.Set(reflect.ValueOf(id))
}

// ParseUUID reads the forms of a UUID that the reference reads: with hyphens or
// without, in braces, or as a urn.
func ParseUUID(s string) (uuid.UUID, error) {
	id, err := uuid.Parse(s)
	if err == nil && len(s) == 38 && (s[0] != '{' || s[37] != '}') {
		return uuid.Nil, prefect.Errorf(prefect.Invalid, "not a UUID")
	}
	if err != nil {
		return uuid.Nil, prefect.Errorf(prefect.Invalid, "not a UUID")
	}
	return id, nil
}

func decodeTime(d *decoder, v reflect.Value) {
	raw := d.skip()
	var t prefect.Time
	ok := raw[0] == '"' || raw[0] == '-' || (raw[0] >= '0' && raw[0] <= '9')
	if ok && raw[0] == '"' {
		s, _ := unquote(raw)
		parsed, err := prefect.ParseTime(s)
		t, ok = parsed, err == nil
	} else if ok {
		ok = t.UnmarshalJSON(raw) == nil
	}
	if !ok {
		d.fail("value_error", "Input should be a date and time", raw, nil)
		return
	}
	v.Set(reflect.ValueOf(t))
}

func (b *Binder) sliceCodec(t reflect.Type, o options) codec {
	elem := t.Elem()
	if elem.Kind() == reflect.Uint8 {
		return decodeBytes
	}
	inner := b.codec(elem, options{closed: o.closed, enum: o.enum, enumType: o.enumType})
	record := elem.Kind() == reflect.Struct && !special(elem)
	enough := math.MaxInt
	if listed, ok := reflect.New(elem).Interface().(Listed); ok {
		enough = listed.MostListed() + 1
	}
	kind, noun := "list_type", "list"
	if o.set {
		kind, noun = "set_type", "set"
	}
	return func(d *decoder, v reflect.Value) {
		if d.b[d.i] != '[' {
			raw := d.skip()
			if raw[0] == 'n' && (o.null || o.closed) {
				v.SetZero()
				return
			}
			d.fail(kind, "Input should be a valid "+noun, raw, nil)
			return
		}
		out := reflect.MakeSlice(t, 0, 4)
		d.array(func(i int) {
			if len(d.errs) >= prefect.MaxFields || i >= enough {
				d.skip() // nothing more would be reported, so nothing more is built
				return
			}
			out = reflect.Append(out, reflect.Zero(elem))
			item := out.Index(i)
			if record {
				b.plan(elem, o.closed).setDefaults(item)
			}
			d.path = append(d.path, step{index: i, isIndex: true})
			inner(d, item)
			d.path = d.path[:len(d.path)-1]
		})
		if o.set {
			out = unique(out)
		}
		v.Set(out)
	}
}

// unique returns the elements of s, strings, each once, in the order of their
// first place.
func unique(s reflect.Value) reflect.Value {
	seen := make(map[string]bool, s.Len())
	out := s.Slice(0, 0)
	for i := range s.Len() {
		if e := s.Index(i).String(); !seen[e] {
			seen[e] = true
			out = reflect.Append(out, s.Index(i))
		}
	}
	return out
}

func decodeBytes(d *decoder, v reflect.Value) {
	raw := d.skip()
	if raw[0] != '"' {
		d.fail("bytes_type", "Input should be a valid bytes", raw, nil)
		return
	}
	s, _ := unquote(raw)
	v.SetBytes([]byte(s))
}

func (b *Binder) mapCodec(t reflect.Type, o options) codec {
	inner := b.codec(t.Elem(), options{closed: o.closed})
	return func(d *decoder, v reflect.Value) {
		if d.b[d.i] != '{' {
			raw := d.skip()
			if raw[0] == 'n' && (o.null || o.closed) {
				v.SetZero()
				return
			}
			d.fail("dict_type", "Input should be a valid dictionary", raw, nil)
			return
		}
		out := reflect.MakeMap(t)
		d.object(func(key []byte) {
			name := string(key)
			item := reflect.New(t.Elem()).Elem()
			d.path = append(d.path, step{key: name})
			inner(d, item)
			d.path = d.path[:len(d.path)-1]
			out.SetMapIndex(reflect.ValueOf(name).Convert(t.Key()), item)
		})
		v.Set(out)
	}
}
