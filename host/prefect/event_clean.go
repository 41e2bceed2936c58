package prefect

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
)

// clean takes out what Postgres cannot store in a text: NULs. Without it, such
// an event would be refused there and the task run it tells of never end.
func clean(s string) string { return strings.ReplaceAll(s, "\x00", "") }

// CleanJSON takes out of valid JSON what Postgres cannot store in a jsonb value:
// escaped NULs, and halves of surrogate pairs, which become U+FFFD. It returns
// raw itself if there is nothing to do. The payload of every event goes through
// it, a client's as it is decoded.
func CleanJSON(raw json.RawMessage) json.RawMessage {
	if !bytes.Contains(raw, []byte(`\u0000`)) && !bytes.Contains(raw, []byte(`\ud`)) && !bytes.Contains(raw, []byte(`\uD`)) {
		return raw
	}
	out := make(json.RawMessage, 0, len(raw))
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		if raw[i+1] != 'u' {
			out = append(out, raw[i], raw[i+1])
			i += 2
			continue
		}
		switch r := escaped(raw[i:]); {
		case r == 0:
			i += 6
		case !utf16.IsSurrogate(r):
			out = append(out, raw[i:i+6]...)
			i += 6
		case utf16.DecodeRune(r, escaped(raw[i+6:])) != '\ufffd':
			out = append(out, raw[i:i+12]...)
			i += 12
		default:
			out = append(out, `\ufffd`...)
			i += 6
		}
	}
	return out
}

// escaped returns the code unit of the \uXXXX at the front of b, -1 if there is
// none.
func escaped(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
