package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// seconds is a duration that is stored as the reference stores a timedelta: an
// INTERVAL in Postgres, that long after the epoch as a DATETIME in SQLite.
type seconds float64

// datetimeLayout is the text of a DATETIME in SQLite, always in UTC.
const datetimeLayout = "2006-01-02 15:04:05.000000"

// args turns values of the vocabulary, in place, into what the driver binds.
func (d *dialect) args(values ...any) []any {
	for i, v := range values {
		values[i] = d.arg(v)
	}
	return values
}

func (d *dialect) arg(v any) any {
	switch v := v.(type) {
	case uuid.UUID:
		return v.String()
	case *uuid.UUID:
		if v == nil {
			return nil
		}
		return v.String()
	case prefect.Time:
		return d.timeArg(v)
	case *prefect.Time:
		if v == nil {
			return nil
		}
		return d.timeArg(*v)
	case prefect.StateType:
		return string(v)
	case *prefect.StateType:
		if v == nil {
			return nil
		}
		return string(*v)
	case *string:
		if v == nil {
			return nil
		}
		return d.textArg(*v)
	case string:
		return d.textArg(v)
	case json.RawMessage:
		if len(v) == 0 || string(v) == "null" {
			return nil
		}
		return d.jsonArg(v)
	case []string:
		return d.jsonArg(stringList(v))
	case seconds:
		return d.secondsArg(v)
	}
	return v
}

func (d *dialect) timeArg(t prefect.Time) any {
	if d.postgres {
		return t.UTC()
	}
	return t.UTC().Format(datetimeLayout)
}

// textArg leaves NULs out for Postgres, which takes none: a run whose error message
// has one must be able to end all the same.
func (d *dialect) textArg(s string) any {
	if d.postgres {
		return withoutNUL(s)
	}
	return s
}

// jsonArg binds JSON: for a JSONB as it is but for NULs, for SQLite as the
// reference's serializer would write it, since it is text that others may compare.
func (d *dialect) jsonArg(b json.RawMessage) any {
	if d.postgres {
		return string(withoutEscapedNUL(b))
	}
	return string(pythonJSON(b))
}

func (d *dialect) secondsArg(s seconds) any {
	micros := int64(math.Round(float64(s) * 1e6))
	if d.postgres {
		return strconv.FormatInt(micros, 10) + " microseconds"
	}
	return time.UnixMicro(micros).UTC().Format(datetimeLayout)
}

// withoutEscapedNUL leaves \u0000 out of the strings of valid JSON.
func withoutEscapedNUL(b []byte) []byte {
	const nul = `\u0000`
	if !bytes.Contains(b, []byte(nul)) {
		return b
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		switch {
		case b[i] != '\\':
			out = append(out, b[i])
		case bytes.HasPrefix(b[i:], []byte(nul)):
			i += len(nul) - 1
		default:
			out = append(out, b[i], b[i+1])
			i++
		}
	}
	return out
}

// stringList returns a JSON array, empty for nil.
func stringList(list []string) json.RawMessage {
	if len(list) == 0 {
		return json.RawMessage("[]")
	}
	b, err := json.Marshal(list)
	if err != nil { // a list of strings always marshals
		return json.RawMessage("[]")
	}
	return b
}

// pythonJSON writes valid JSON as Python's json.dumps does: a space after each
// comma and colon, none elsewhere, and ASCII only. Numbers stay as they are.
func pythonJSON(b []byte) []byte {
	out := make([]byte, 0, len(b)+len(b)/8)
	inString := false
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch {
		case inString && c == '\\':
			i++
			if b[i] == '/' {
				out = append(out, '/')
				continue
			}
			if b[i] == 'u' && i+4 < len(b) {
				var n int
				if out, n = appendEscaped(out, b[i+1:i+5]); n > 0 {
					i += n
					continue
				}
			}
			out = append(out, '\\', b[i])
		case inString && c >= utf8.RuneSelf:
			r, n := utf8.DecodeRune(b[i:])
			out = appendUnicode(out, r)
			i += n - 1
		case c == '"':
			inString = !inString
			out = append(out, c)
		case inString:
			out = append(out, c)
		case c == ',' || c == ':':
			out = append(out, c, ' ')
		case c == ' ' || c == '\n' || c == '\t' || c == '\r':
		default:
			out = append(out, c)
		}
	}
	return out
}

// appendEscaped resolves \uXXXX of a printable ASCII character, which encoders
// for HTML escape, and returns how many digits it took: 0 for what stays escaped.
func appendEscaped(out, digits []byte) ([]byte, int) {
	n, err := strconv.ParseUint(string(digits), 16, 32)
	if err != nil || n < 0x20 || n >= 0x7f || n == '"' || n == '\\' {
		return out, 0
	}
	return append(out, byte(n)), 4
}

// appendUnicode appends r as \uXXXX, as two of them beyond the first plane.
func appendUnicode(out []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+(r>>10), 0xdc00+(r&0x3ff))
	}
	return fmt.Appendf(out, `\u%04x`, r)
}

// scanner is a row to read columns from.
type scanner interface {
	Scan(dst ...any) error
}

// into returns what reads a column into dst, a pointer to a value of the
// vocabulary. A null column leaves zero, or nil.
func into(dst any) any {
	switch p := dst.(type) {
	case *uuid.UUID:
		return (*uuidColumn)(p)
	case **uuid.UUID:
		return nullUUID{p}
	case *prefect.Time:
		return (*timeColumn)(p)
	case **prefect.Time:
		return nullTime{p}
	case *json.RawMessage:
		return (*jsonColumn)(p)
	case *[]string:
		return (*tagsColumn)(p)
	case *seconds:
		return (*secondsColumn)(p)
	}
	return dst
}

type nullUUID struct{ dst **uuid.UUID }

func (c nullUUID) Scan(src any) error {
	if src == nil {
		*c.dst = nil
		return nil
	}
	*c.dst = new(uuid.UUID)
	return (*uuidColumn)(*c.dst).Scan(src)
}

type nullTime struct{ dst **prefect.Time }

func (c nullTime) Scan(src any) error {
	if src == nil {
		*c.dst = nil
		return nil
	}
	*c.dst = new(prefect.Time)
	return (*timeColumn)(*c.dst).Scan(src)
}

type uuidColumn uuid.UUID

func (c *uuidColumn) Scan(src any) error {
	var err error
	switch src := src.(type) {
	case nil:
		*c = uuidColumn{}
	case string:
		*(*uuid.UUID)(c), err = uuid.Parse(src)
	case []byte:
		if len(src) == 16 {
			copy(c[:], src)
			return nil
		}
		*(*uuid.UUID)(c), err = uuid.ParseBytes(src)
	case [16]byte:
		*c = src
	default:
		err = fmt.Errorf("a uuid column holds %T", src)
	}
	return err
}

type timeColumn prefect.Time

func (c *timeColumn) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*c = timeColumn{}
	case time.Time:
		*c = timeColumn(prefect.NewTime(src))
	case string:
		return c.parse(src)
	case []byte:
		return c.parse(string(src))
	default:
		return fmt.Errorf("a time column holds %T", src)
	}
	return nil
}

func (c *timeColumn) parse(s string) error {
	if t, ok := parseDatetime(s); ok {
		*c = timeColumn{t}
		return nil
	}
	t, err := prefect.ParseTime(s)
	*c = timeColumn(t)
	return err
}

// parseDatetime reads the text of a DATETIME in SQLite in its one form.
func parseDatetime(s string) (time.Time, bool) {
	if len(s) != len(datetimeLayout) || s[4] != '-' || s[7] != '-' || s[10] != ' ' || s[13] != ':' || s[16] != ':' || s[19] != '.' {
		return time.Time{}, false
	}
	ok := true
	number := func(digits string) (n int) {
		for _, d := range []byte(digits) {
			ok = ok && d >= '0' && d <= '9'
			n = n*10 + int(d-'0')
		}
		return n
	}
	t := time.Date(number(s[:4]), time.Month(number(s[5:7])), number(s[8:10]),
		number(s[11:13]), number(s[14:16]), number(s[17:19]), number(s[20:])*1000, time.UTC)
	return t, ok
}

// jsonColumn takes the text untouched; null leaves nil.
type jsonColumn json.RawMessage

func (c *jsonColumn) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		*c = nil
	case string:
		*c = jsonColumn(src)
	case []byte:
		*c = bytes.Clone(src)
	case int64, float64, bool:
		*c = fmt.Append(nil, src)
	default:
		return fmt.Errorf("a JSON column holds %T", src)
	}
	if string(*c) == "null" {
		*c = nil
	}
	return nil
}

// tagsColumn is a list of strings, never nil after a scan.
type tagsColumn []string

func (c *tagsColumn) Scan(src any) error {
	var raw jsonColumn
	if err := raw.Scan(src); err != nil {
		return err
	}
	if *c = plainStrings(raw); *c != nil {
		return nil
	}
	*c = tagsColumn{}
	return json.Unmarshal(raw, (*[]string)(c))
}
