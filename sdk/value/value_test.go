package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// generic is what encoding/json would make of v.
func generic(v Value) any {
	switch v.Kind() {
	case Bool:
		b, _ := v.Bool()
		return b
	case Number:
		f, ok := v.Float()
		if !ok {
			return "too large"
		}
		return f
	case Text:
		s, _ := v.Text()
		return s
	case Array:
		all := []any{}
		for _, e := range v.Elements() {
			all = append(all, generic(e))
		}
		return all
	case Object:
		all := map[string]any{}
		for k, e := range v.Members() {
			all[k] = generic(e)
		}
		return all
	}
	return nil
}

func marshal(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range []string{
		`null`, ` true `, `false`, `0`, `-0`, `12.5e-3`, `1E+2`, `"a"`, `""`, `[]`, `{}`, "[ 1 ,\t2\n,3\r]",
		`{"a":{"b":[{"c":null},2]},"d":"x"}`, `"\"\\\/\b\f\n\r\t\u0041"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00\ud83d"`,
		`"\ud83dA"`, `{"\u0061b":1}`, `"é€😀"`, `[[[[[[]]]]]]`, `123456789012345678901`,
		``, ` `, `nul`, `tru`, `[1,]`, `[1`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{a:1}`, `{"a":1`, `01`, `1.`, `.5`, `1e`, `-`, `+1`,
		`"a`, `"\x"`, `"\u12"`, `"\`, "\"a\nb\"", `1 2`, `[1 2]`, `{"a" 1}`, `nullx`, `'a'`, "\"\x00\"", `]`, `}`, `,`,
	} {
		var want any
		err := json.Unmarshal([]byte(text), &want)
		v, got := Parse([]byte(text))
		if (got == nil) != (err == nil) {
			t.Errorf("%q: %v, encoding/json says %v", text, got, err)
			continue
		}
		if err == nil && marshal(t, generic(v)) != marshal(t, want) {
			t.Errorf("%q = %s, want %s", text, marshal(t, generic(v)), marshal(t, want))
		}
	}
}

// TestMutantsAgreeWithEncodingJSON changes a byte or two of texts of all shapes.
func TestMutantsAgreeWithEncodingJSON(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	whole := []string{
		`{"abi":1,"phase":"before","run":{"id":"7b4ee031-4f58","tags":["prod","etl"],"labels":{},"run_count":10,"total_run_time":0.25},"force":false,"id":null}`,
		`[[],{},[{}],{"a":[]},[true,false,null],-1,0,1e3,"",["\u0041\n","é"],{"b\"":{"c":"` + strings.Repeat("x", 20) + `"}}]`,
		`{ "a" : [ 1 , 2 ] , "b" : { "c" : "d" } , "e" : "12345678" , "f" : -10 , "g" : 0 }`,
	}
	const spare = "{}[]:,\"\\ 0123456789-.eEtrufalsn\n\x00\x1f\x7f\x80\xc3\xff"
	for n := range 30_000 {
		text := []byte(whole[n%len(whole)])
		for range 1 + random.IntN(2) {
			switch at := random.IntN(len(text)); random.IntN(4) {
			case 0:
				text = append(text[:at], text[at+1:]...)
			case 1:
				text = slices.Insert(text, at, spare[random.IntN(len(spare))])
			case 2:
				text = text[:at+1]
			default:
				text[at] = spare[random.IntN(len(spare))]
			}
		}
		var want any
		err := json.Unmarshal(text, &want)
		if err == nil && !utf8.Valid(text) {
			continue // encoding/json repairs it
		}
		v, got := Parse(text)
		if (got == nil) != (err == nil) {
			t.Fatalf("%q: %v, encoding/json says %v", text, got, err)
		}
		if err == nil && marshal(t, generic(v)) != marshal(t, want) {
			t.Fatalf("%q = %s, want %s", text, marshal(t, generic(v)), marshal(t, want))
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"depth":       strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
		"much deeper": strings.Repeat(`{"a":`, 1_000_000),
		"bad UTF-8":   "\"\xff\"",
		"overlong":    "\"\xc0\x80\"",
		"surrogate":   "\"\xed\xa0\x80\"",
	} {
		if v, err := Parse([]byte(text)); err == nil || v.Kind() != Absent {
			t.Errorf("%s: %v, %v", name, v.Kind(), err)
		}
	}
	deep := strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)
	if _, err := Parse([]byte(deep)); err != nil {
		t.Errorf("%d levels: %v", MaxDepth, err)
	}
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct {
		text  string
		i     int64
		whole bool
		f     float64
		ok    bool
	}{
		{"0", 0, true, 0, true},
		{"-7", -7, true, -7, true},
		{"9223372036854775807", math.MaxInt64, true, math.MaxInt64, true},
		{"-9223372036854775808", math.MinInt64, true, math.MinInt64, true},
		{"9223372036854775808", 0, false, 9223372036854775808, true},
		{"3.0", 3, true, 3, true},
		{"3e2", 300, true, 300, true},
		{"3.5", 0, false, 3.5, true},
		{"123456789012345678", 123456789012345678, true, 123456789012345678, true},
		{"1e999", 0, false, 0, false},
		{`"1"`, 0, false, 0, false},
	} {
		v, err := Parse([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		if i, ok := v.Int(); i != c.i || ok != c.whole {
			t.Errorf("%s: Int() = %d, %v", c.text, i, ok)
		}
		if f, ok := v.Float(); ok != c.ok || ok && f != c.f {
			t.Errorf("%s: Float() = %v, %v", c.text, f, ok)
		}
	}
}

func TestPathsThroughWhatIsNotThere(t *testing.T) {
	v, err := Parse([]byte(`{"a":{"b":[1,{"c":"x"}],"n":null,"a":2},"k\u0065y":true,"a":3}`))
	if err != nil {
		t.Fatal(err)
	}
	if !v.Get("a").Get("n").IsNull() || v.Get("a").Get("n").Kind() != Null {
		t.Error("null is not null")
	}
	if n, ok := v.Get("a").Get("a").Int(); !ok || n != 2 {
		t.Errorf("a.a = %d, %v", n, ok)
	}
	if b, ok := v.Get("key").Bool(); !b || !ok {
		t.Error("an escaped key is not found")
	}
	if got := string(v.Get("a").Get("b").Raw()); got != `[1,{"c":"x"}]` {
		t.Errorf("raw: %s", got)
	}
	if got := v.Get("a").Get("b").Len(); got != 2 {
		t.Errorf("len: %d", got)
	}
	if got := v.Len(); got != 3 {
		t.Errorf("members: %d", got)
	}
	for _, absent := range []Value{{}, v.Get("zz"), v.Get("zz").Get("a"), v.Get("key").Get("a")} {
		_, isText := absent.Text()
		_, isInt := absent.Int()
		if absent.Kind() != Absent || !absent.IsNull() || absent.Raw() != nil || absent.Len() != 0 || isText || isInt {
			t.Errorf("%v is not absent", absent.Kind())
		}
	}
}

func TestAppendStringRoundTrips(t *testing.T) {
	for _, s := range []string{"", "plain", `"quoted\"`, "\x00\x1f\x7f\n\r\t", "é€😀", "a\xffb", "\xed\xa0\x80", "</script>"} {
		text := AppendString([]byte("x"), s)[1:]
		var back string
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := string([]rune(s)); back != want {
			t.Errorf("%q came back as %q", want, back)
		}
		v, err := Parse(text)
		if got, _ := v.Text(); err != nil || got != back {
			t.Errorf("%q is read as %q, %v", text, got, err)
		}
	}
}

// TestAppendStringWithinItsRoom appends strings of all lengths with an odd byte at
// each place of them, to slices with and without room for it.
func TestAppendStringWithinItsRoom(t *testing.T) {
	for size := range 20 {
		for at := -1; at < size; at++ {
			for _, odd := range []byte{'"', '\\', 0x1f, 0x7f, 0xc3} {
				s := bytes.Repeat([]byte{'a'}, size)
				if at >= 0 {
					s[at] = odd
				}
				want := string(AppendString(make([]byte, 0, 200), string(s)))
				for _, room := range []int{0, size, size + 1, size + 2, size + 3, 100} {
					dst := append(make([]byte, 0, 3+room), "abc"...)
					if got := string(AppendString(dst, string(s))); got != "abc"+want {
						t.Fatalf("%q with room for %d: %s", s, room, got)
					}
					for _, b := range dst[3:cap(dst)][min(room, len(want)):] {
						if b != 0 {
							t.Fatalf("%q with room for %d: written beyond its end", s, room)
						}
					}
				}
				var back string
				if err := json.Unmarshal([]byte(want), &back); err != nil || back != string([]rune(string(s))) {
					t.Fatalf("%q is %s: %v", s, want, err)
				}
			}
		}
	}
}

func TestPickIsGetOfEach(t *testing.T) {
	for _, text := range []string{
		`{"a":1,"bb":[1,{"a":2}],"ccc":{"a":3},"a long key":4,"":5}`, `{"a long key":4,"ccc":{"a":3},"bb":[],"a":1}`, `{"bb":1}`,
		`{"x":0,"a":1,"y":0,"ccc":2,"z":0}`, `{"\u0061":1,"bb":2,"ccc":3}`, `{"a":1,"b\u0062":2,"ccc":3}`, `{}`, `[]`, `"a"`, `null`,
	} {
		v, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		for _, keys := range [][]string{{}, {"a"}, {"a", "bb", "ccc"}, {"ccc", "bb", "a"}, {"bb", "none", "a long key", ""}, {"", "a"}} {
			picked := make([]Value, len(keys))
			v.Pick(keys, picked)
			for k, key := range keys {
				if want := v.Get(key); picked[k] != want {
					t.Errorf("%s of %s: %s, want %s", key, text, picked[k].Raw(), want.Raw())
				}
			}
		}
	}
	var none [1]Value
	if (Value{}).Pick([]string{"a"}, none[:]); none[0].Kind() != Absent {
		t.Error("nothing has a member")
	}
}

func TestADocIsUsedAgain(t *testing.T) {
	var d Doc
	text := []byte(`{"a":[1,2,3],"b":{"c":"some text"}}`)
	if _, err := d.Parse(text); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if v, err := d.Parse(text); err != nil || !v.Get("b").Get("c").Is("some text") {
			t.Error("lost")
		}
	}); n != 0 {
		t.Errorf("%v allocations a parse", n)
	}
	if v, err := d.Parse([]byte(`[`)); err == nil || v.Kind() != Absent {
		t.Error("a broken text has a value")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.5e3,"x\u0041"],"b":null}`, `"\ud83d\ude00"`, `[[]]`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := Parse(text)
		var want any
		refused := json.Unmarshal(text, &want)
		switch {
		case err == nil && refused == nil:
			if a, b := marshal(t, generic(v)), marshal(t, want); a != b {
				t.Errorf("%q = %s, encoding/json has %s", text, a, b)
			}
			if raw := v.Raw(); !bytes.Equal(raw, bytes.TrimSpace(text)) {
				t.Errorf("raw of %q is %q", text, raw)
			}
		case err == nil:
			// encoding/json also refuses numbers that no float64 holds.
			var tooLarge *json.UnmarshalTypeError
			if !errors.As(refused, &tooLarge) {
				t.Errorf("%q parses, encoding/json says %v", text, refused)
			}
		case refused == nil:
			// Ours alone are the checks of depth and of UTF-8.
			if utf8.Valid(text) && !strings.Contains(err.Error(), "nested") {
				t.Errorf("%q: %v, encoding/json takes it", text, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"abi":1,"now":"2026-11-23T18:00:00.000000Z","rules":[{"name":"RetryFailedFlows","config":{}}],"run":{"id":"8a3e6f5c-0000-4000-8000-000000000000","run_count":1,"empirical_policy":{"retries":2,"retry_delay":10,"pause_keys":[],"resuming":false,"retry_type":null},"tags":["a","b"]}}`)
	var d Doc
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}
