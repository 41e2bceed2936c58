package bind

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// intCodec decodes integers of at most 64 bits, narrower if v is.
func intCodec(o options) codec {
	return func(d *decoder, v reflect.Value) {
		raw := d.skip()
		n, refusal := parseInt(raw)
		switch {
		case refusal == "" && v.OverflowInt(n):
			d.fail("int_parsing_size", intMessage("int_parsing_size"), raw, nil)
		case refusal != "":
			d.fail(refusal, intMessage(refusal), raw, nil)
		case o.inBounds(d, float64(n), raw):
			v.SetInt(n)
		}
	}
}

// inBounds refuses a number that is out of the field's bounds.
func (o *options) inBounds(d *decoder, n float64, raw []byte) bool {
	refuse := func(kind, words, key string, limit int64) bool {
		d.fail(kind, "Input should be "+words+" "+strconv.FormatInt(limit, 10), raw, map[string]any{key: limit})
		return false
	}
	switch {
	case o.gt != nil && n <= float64(*o.gt):
		return refuse("greater_than", "greater than", "gt", *o.gt)
	case o.ge != nil && n < float64(*o.ge):
		return refuse("greater_than_equal", "greater than or equal to", "ge", *o.ge)
	case o.le != nil && n > float64(*o.le):
		return refuse("less_than_equal", "less than or equal to", "le", *o.le)
	}
	return true
}

// intMessage returns the message of an error type of parseInt.
func intMessage(refusal string) string {
	switch refusal {
	case "int_parsing":
		return "Input should be a valid integer, unable to parse string as an integer"
	case "int_parsing_size":
		return "Unable to parse input as an integer, exceeded maximum size"
	case "int_from_float":
		return "Input should be a valid integer, got a number with a fractional part"
	case "finite_number":
		return "Input should be a finite number"
	}
	return "Input should be a valid integer"
}

// parseInt reads raw, any JSON value, as an integer, or tells the error type.
func parseInt(raw []byte) (n int64, refusal string) {
	switch raw[0] {
	case 't':
		return 1, ""
	case 'f':
		return 0, ""
	case 'n', '{', '[':
		return 0, "int_type"
	case '"':
		s, _ := unquote(raw)
		return parseIntText(s)
	}
	s := string(raw)
	if !strings.ContainsAny(s, ".eE") {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, "int_parsing_size"
		}
		return n, ""
	}
	f, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil:
		return 0, "finite_number"
	case f != math.Trunc(f):
		return 0, "int_from_float"
	case math.Abs(f) >= 1<<63:
		return 0, "int_parsing_size"
	}
	return int64(f), ""
}

// parseIntText reads an integer as a string holds it: spaces around it, single
// underscores between digits and a fraction of zeros are allowed.
func parseIntText(s string) (int64, string) {
	s = strings.TrimSpace(s)
	if whole, fraction, dotted := strings.Cut(s, "."); dotted {
		if fraction == "" || strings.Trim(fraction, "0") != "" {
			return 0, "int_parsing"
		}
		s = whole
	}
	s, ok := dropUnderscores(s)
	if !ok {
		return 0, "int_parsing"
	}
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err == nil:
		return n, ""
	case errors.Is(err, strconv.ErrRange):
		return 0, "int_parsing_size"
	}
	return 0, "int_parsing"
}

// dropUnderscores takes out underscores that stand between two digits and
// reports false if there are others.
func dropUnderscores(s string) (string, bool) {
	if !strings.Contains(s, "_") {
		return s, true
	}
	digit := func(i int) bool { return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9' }
	for i := range len(s) {
		if s[i] == '_' && (!digit(i-1) || !digit(i+1)) {
			return "", false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

// floatCodec decodes finite numbers.
func floatCodec(o options) codec {
	return func(d *decoder, v reflect.Value) {
		raw := d.skip()
		if f, ok := parseFloat(d, raw); ok && o.inBounds(d, f, raw) {
			v.SetFloat(f)
		}
	}
}

// parseFloat reads raw, any JSON value, as a number, or refuses it.
func parseFloat(d *decoder, raw []byte) (f float64, ok bool) {
	text := string(raw)
	refusal := ""
	switch raw[0] {
	case 't':
		text = "1"
	case 'f':
		text = "0"
	case 'n', '{', '[':
		d.fail("float_type", "Input should be a valid number", raw, nil)
		return 0, false
	case '"':
		text, _ = unquote(raw)
		text = strings.TrimSpace(text)
		refusal = "float_parsing"
	}
	clean, tidy := dropUnderscores(text)
	f, err := strconv.ParseFloat(clean, 64)
	readable := err == nil && tidy && !strings.ContainsAny(clean, "xX")
	switch {
	case readable && !math.IsInf(f, 0) && !math.IsNaN(f):
		return f, true
	case refusal != "" && !readable:
		d.fail(refusal, "Input should be a valid number, unable to parse string as a number", raw, nil)
	default:
		d.fail("finite_number", "Input should be a finite number", raw, nil)
	}
	return 0, false
}
