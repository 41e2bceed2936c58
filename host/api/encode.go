package api

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/host/prefect"
)

// The append functions write JSON without reflection: runs, states and logs are
// most of what is read.

// appendString appends s as a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			b = append(b, s[start:i]...)
			b = appendEscaped(b, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b = append(append(b, s[start:i]...), "\ufffd"...)
			i++
			start = i
			continue
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

func appendStringPtr[S ~string](b []byte, s *S) []byte {
	if s == nil {
		return append(b, "null"...)
	}
	return appendString(b, string(*s))
}

func appendStrings(b []byte, list []string) []byte { return appendList(b, list, appendString) }

// appendUUID appends id as a JSON string, lower case.
func appendUUID(b []byte, id uuid.UUID) []byte {
	var text [38]byte
	text[0], text[37] = '"', '"'
	hex.Encode(text[1:9], id[:4])
	text[9] = '-'
	hex.Encode(text[10:14], id[4:6])
	text[14] = '-'
	hex.Encode(text[15:19], id[6:8])
	text[19] = '-'
	hex.Encode(text[20:24], id[8:10])
	text[24] = '-'
	hex.Encode(text[25:37], id[10:])
	return append(b, text[:]...)
}

func appendUUIDPtr(b []byte, id *uuid.UUID) []byte {
	if id == nil {
		return append(b, "null"...)
	}
	return appendUUID(b, *id)
}

// appendTime appends t as prefect.Time marshals.
func appendTime(b []byte, t prefect.Time) []byte {
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return append(t.AppendAPI(append(b, '"')), '"')
	}
	hour, minute, second := t.Clock()
	b = append(b, '"', '0'+byte(year/1000), '0'+byte(year/100%10))
	b = append(append2(b, year%100), '-')
	b = append(append2(b, int(month)), '-')
	b = append(append2(b, day), 'T')
	b = append(append2(b, hour), ':')
	b = append(append2(b, minute), ':')
	b = append2(b, second)
	if micro := t.Nanosecond() / 1000; micro != 0 {
		b = append2(append2(append2(append(b, '.'), micro/10000), micro/100%100), micro%100)
	}
	return append(b, 'Z', '"')
}

// append2 appends n, 0 to 99, as two digits.
func append2(b []byte, n int) []byte { return append(b, '0'+byte(n/10), '0'+byte(n%10)) }

func appendTimePtr(b []byte, t *prefect.Time) []byte {
	if t == nil {
		return append(b, "null"...)
	}
	return appendTime(b, *t)
}

// appendSeconds appends a number of seconds to the microsecond, with a point, as
// the reference does.
func appendSeconds(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "0.0"...)
	}
	rounded := math.Round(f*1e6) / 1e6
	b = strconv.AppendFloat(b, rounded, 'f', -1, 64)
	if rounded == math.Trunc(rounded) {
		b = append(b, ".0"...)
	}
	return b
}

// appendRaw appends JSON as it is, absent instead if there is none.
func appendRaw(b []byte, raw json.RawMessage, absent string) []byte {
	if len(raw) == 0 {
		return append(b, absent...)
	}
	return append(b, raw...)
}

func appendBool(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

func appendBoolPtr(b []byte, v *bool) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	return strconv.AppendBool(b, *v)
}

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

func appendIntPtr(b []byte, n *int) []byte {
	if n == nil {
		return append(b, "null"...)
	}
	return appendInt(b, *n)
}

func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, f, 'g', -1, 64)
}
