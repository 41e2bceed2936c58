package main

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf16"
)

// printable returns a text from outside as a terminal may have it: what is not to be
// seen (controls, and the signs that turn the direction of writing) as JSON's
// escapes, so that nothing moves the cursor or makes a line look like another. It
// is one line, and JSON stays the JSON that it was.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case unicode.IsPrint(r):
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// outside is a text from outside; formatted by %s or %v it is printable.
type outside string

// Format is called by fmt.
func (o outside) Format(f fmt.State, verb rune) {
	text := string(o)
	if verb != 'q' { // which escapes by itself
		text = printable(text)
	}
	fmt.Fprintf(f, fmt.FormatString(f, verb), text)
}

// say is fmt.Fprintf with arguments that may come from anywhere: texts, and what
// shows itself as one, are made printable. The format is ours.
func say(w io.Writer, format string, args ...any) {
	safe := make([]any, len(args))
	for i, arg := range args {
		safe[i] = arg
		switch v := arg.(type) {
		case error:
			safe[i] = outside(v.Error())
		case fmt.Stringer:
			safe[i] = outside(v.String())
		default:
			switch v := reflect.ValueOf(arg); {
			case v.Kind() == reflect.String:
				safe[i] = outside(v.String())
			case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
				safe[i] = outside(v.Bytes())
			}
		}
	}
	fmt.Fprintf(w, format, safe...)
}
