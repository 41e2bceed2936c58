package bind

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// codec decodes the value at d.i into v, which is addressable, and moves past it.
type codec func(d *decoder, v reflect.Value)

// options is what a bind tag says about a field.
type options struct {
	required, null, object, set, closed bool
	gt, ge, le                          *int64
	enum                                []string
	enumType                            string
	pattern                             bool
	maxLength                           int // characters, 0 is any
}

func parseOptions(tag string) (o options) {
	for _, part := range strings.Split(tag, ",") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "required":
			o.required = true
		case "null":
			o.null = true
		case "object":
			o.object = true
		case "set":
			o.set = true
		case "closed":
			o.closed = true
		case "pattern":
			o.pattern = true
		case "max_length":
			if n := bound(value); n != nil {
				o.maxLength = int(*n)
			}
		case "gt":
			o.gt = bound(value)
		case "ge":
			o.ge = bound(value)
		case "le":
			o.le = bound(value)
		case "enum", "literal":
			o.enum, o.enumType = strings.Split(value, "|"), "enum"
			if name == "literal" {
				o.enumType = "literal_error"
			}
		}
	}
	return o
}

func bound(s string) *int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return nil
	}
	return &n
}

// structPlan is how one struct type is decoded.
type structPlan struct {
	fields        []field
	byName        map[string]int
	ignored       []string // unknown fields that are not refused
	forbid, embed bool
	defaulter     bool
	checker       bool
}

type field struct {
	name     string
	index    []int
	required bool
	codec    codec
	nested   *structPlan // of a struct held by value, whose defaults count though it is absent
}

type planKey struct {
	t      reflect.Type
	closed bool
}

// plan returns the plan of struct type t, made at first use.
func (b *Binder) plan(t reflect.Type, closed bool) *structPlan {
	key := planKey{t, closed}
	if p, ok := b.plans.Load(key); ok {
		return p.(*structPlan)
	}
	p := &structPlan{byName: map[string]int{}, forbid: closed,
		defaulter: reflect.PointerTo(t).Implements(reflect.TypeFor[Defaulter]()),
		checker:   reflect.PointerTo(t).Implements(reflect.TypeFor[Checker]()),
	}
	b.addFields(p, t, nil, closed)
	actual, _ := b.plans.LoadOrStore(key, p)
	return actual.(*structPlan)
}

func (b *Binder) addFields(p *structPlan, t reflect.Type, prefix []int, closed bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		o := parseOptions(f.Tag.Get("bind"))
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Name == "_":
			p.forbid = p.forbid || f.Tag.Get("bind") == "forbid"
			p.embed = p.embed || f.Tag.Get("bind") == "embed"
			if names, ok := strings.CutPrefix(f.Tag.Get("bind"), "ignore="); ok {
				p.ignored = strings.Split(names, "|")
			}
		case f.Anonymous && f.Type.Kind() == reflect.Struct && name == "":
			b.addFields(p, f.Type, append(prefix, i), closed)
		case f.IsExported() && name != "" && name != "-":
			o.closed = o.closed || closed
			fd := field{name: name, index: append(append([]int(nil), prefix...), i), required: o.required, codec: b.codec(f.Type, o)}
			if f.Type.Kind() == reflect.Struct && !special(f.Type) {
				fd.nested = b.plan(f.Type, o.closed)
			}
			p.byName[name] = len(p.fields)
			p.fields = append(p.fields, fd)
		}
	}
}

// special reports whether a struct type is one value and no record of fields.
func special(t reflect.Type) bool {
	return t == timeType || isOptional(t) || reflect.PointerTo(t).Implements(unmarshalerType)
}

func isOptional(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == optionalPath && strings.HasPrefix(t.Name(), "Optional[")
}

var (
	timeType        = reflect.TypeFor[prefect.Time]()
	uuidType        = reflect.TypeFor[uuid.UUID]()
	unmarshalerType = reflect.TypeFor[Unmarshaler]()
	optionalPath    = reflect.TypeFor[prefect.Optional[int]]().PkgPath()
)

// setDefaults fills v and the structs in it that v holds by value.
func (p *structPlan) setDefaults(v reflect.Value) {
	for i := range p.fields {
		if n := p.fields[i].nested; n != nil {
			n.setDefaults(v.FieldByIndex(p.fields[i].index))
		}
	}
	if p.defaulter {
		v.Addr().Interface().(Defaulter).SetDefaults()
	}
}

// fresh decodes into a struct that nobody has filled yet.
func (p *structPlan) fresh(d *decoder, v reflect.Value) {
	p.setDefaults(v)
	p.decode(d, v)
}

func (p *structPlan) decode(d *decoder, v reflect.Value) {
	if d.b[d.i] != '{' {
		p.notAnObject(d)
		return
	}
	var seenSpace [48]bool
	seen := seenSpace[:0]
	if len(p.fields) > len(seenSpace) {
		seen = make([]bool, len(p.fields))
	} else {
		seen = seenSpace[:len(p.fields)]
	}
	start, before := d.i, len(d.errs)
	d.object(func(key []byte) {
		n, known := p.byName[string(key)]
		if !known {
			raw := d.skip()
			if p.forbid && !slices.Contains(p.ignored, string(key)) {
				d.path = append(d.path, step{key: string(key)})
				d.fail("extra_forbidden", "Extra inputs are not permitted", raw, nil)
				d.path = d.path[:len(d.path)-1]
			}
			return
		}
		if p.embed && d.b[d.i] == 'n' {
			d.skip()
			return
		}
		seen[n] = true
		f := &p.fields[n]
		d.path = append(d.path, step{key: f.name})
		f.codec(d, v.FieldByIndex(f.index))
		d.path = d.path[:len(d.path)-1]
	})
	raw := d.b[start:d.i]
	if p.embed {
		raw = jsonNull
	}
	for n := range p.fields {
		if p.fields[n].required && !seen[n] {
			d.path = append(d.path, step{key: p.fields[n].name})
			d.fail("missing", "Field required", raw, nil)
			d.path = d.path[:len(d.path)-1]
		}
	}
	if p.checker && len(d.errs) == before {
		v.Addr().Interface().(Checker).CheckBind(Reporter{d})
	}
}

// notAnObject refuses the value at i.
func (p *structPlan) notAnObject(d *decoder) {
	raw := d.skip()
	if !p.embed {
		d.fail("model_attributes_type", "Input should be a valid dictionary or object to extract fields from", raw, nil)
		return
	}
	for i := range p.fields {
		d.path = append(d.path, step{key: p.fields[i].name})
		d.fail("missing", "Field required", jsonNull, nil)
		d.path = d.path[:len(d.path)-1]
	}
}
