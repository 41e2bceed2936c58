package policy

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/interlock-run/interlock/sdk/abi"
	"github.com/interlock-run/interlock/sdk/value"
)

// resultOf says what a state's data is; that is all that a module learns of it.
func resultOf(data json.RawMessage) string {
	data = bytes.TrimSpace(data)
	if len(data) == 0 || string(data) == "null" {
		return abi.ResultNone
	}
	switch data[0] {
	case '{':
		return objectResult(data)
	case '[', '"':
		if len(data) == 2 || data[0] == '[' && len(bytes.TrimSpace(data[1:len(data)-1])) == 0 {
			return abi.ResultEmpty
		}
	case 'f':
		return abi.ResultEmpty
	case 't':
	default:
		if f, err := strconv.ParseFloat(string(data), 64); err == nil && f == 0 {
			return abi.ResultEmpty
		}
	}
	return abi.ResultOther
}

// objectResult tells {} and data of type "unpersisted" from a result.
func objectResult(data []byte) string {
	if !bytes.Contains(data, []byte(`"unpersisted"`)) {
		if len(bytes.TrimSpace(data[1:len(data)-1])) == 0 {
			return abi.ResultEmpty
		}
		return abi.ResultObject
	}
	if root, err := value.Parse(data); err == nil && root.Get("type").Is("unpersisted") {
		return abi.ResultUnpersisted
	}
	return abi.ResultObject
}

// appendID appends the usual form of an id.
func appendID(b []byte, id uuid.UUID) []byte {
	const hex = "0123456789abcdef"
	for i, c := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b = append(b, '-')
		}
		b = append(b, hex[c>>4], hex[c&15])
	}
	return b
}

// appendTime appends a time as contexts have it, in UTC with six digits of
// fraction.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, "2006-01-02T15:04:05.000000Z")
	}
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 4)
	b = appendDigits(append(b, '-'), int(month), 2)
	b = appendDigits(append(b, '-'), day, 2)
	b = appendDigits(append(b, 'T'), hour, 2)
	b = appendDigits(append(b, ':'), minute, 2)
	b = appendDigits(append(b, ':'), second, 2)
	b = appendDigits(append(b, '.'), t.Nanosecond()/1000, 6)
	return append(b, 'Z')
}

// appendDigits appends n with width digits.
func appendDigits(b []byte, n, width int) []byte {
	b = append(b, "000000"[:width]...)
	for i := len(b) - 1; n > 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return b
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
