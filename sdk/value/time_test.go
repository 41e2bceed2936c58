package value

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

const layout = "2006-01-02T15:04:05.000000Z"

func TestTimesAgreeWithPackageTime(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		want := time.UnixMicro(int64(minTime) + chance.Int64N(int64(maxTime-minTime))).UTC()
		got := Time(want.UnixMicro())
		if got.String() != want.Format(layout) {
			t.Fatalf("%s, want %s", got, want.Format(layout))
		}
		back, ok := ParseTime(want.In(time.FixedZone("", 5400-chance.IntN(10800)/60*60)).Format(time.RFC3339Nano))
		if !ok || back != got {
			t.Fatalf("%s came back as %s, %v", want, back, ok)
		}
	}
}

func TestParseTime(t *testing.T) {
	for _, c := range []struct {
		text string
		want string // "" is refused
	}{
		{"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"},
		{"2026-11-23T18:00:00.5Z", "2026-11-23T18:00:00.500000Z"},
		{"2026-11-23t18:00:00.123456789z", "2026-11-23T18:00:00.123456Z"},
		{"2026-11-23 18:00:00+00:00", "2026-11-23T18:00:00.000000Z"},
		{"2024-02-29T23:30:00-01:00", "2024-03-01T00:30:00.000000Z"},
		{"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"},
		{"9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"},
		{"0001-01-01T00:00:00+00:01", ""},
		{"2023-02-29T00:00:00Z", ""},
		{"1900-02-29T00:00:00Z", ""},
		{"2026-13-01T00:00:00Z", ""},
		{"2026-00-01T00:00:00Z", ""},
		{"2026-11-31T00:00:00Z", ""},
		{"2026-11-23T24:00:00Z", ""},
		{"2026-11-23T18:00:00", ""},
		{"2026-11-23T18:00:00.Z", ""},
		{"2026-11-23T18:00:00+1:00", ""},
		{"2026-11-23", ""},
		{"", ""},
		{"2026-11-23T18:00:0xZ", ""},
	} {
		got, ok := ParseTime(c.text)
		if ok != (c.want != "") || ok && got.String() != c.want {
			t.Errorf("%q = %s, %v; want %q", c.text, got, ok, c.want)
		}
	}
}

func TestAddStaysWithinTheYears(t *testing.T) {
	now := Time(time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC).UnixMicro())
	for _, c := range []struct {
		seconds float64
		want    string
	}{
		{0, "2026-11-23T18:00:00.000000Z"},
		{1.5, "2026-11-23T18:00:01.500000Z"},
		{-0.000001, "2026-11-23T17:59:59.999999Z"},
		{1e18, "9999-12-31T23:59:59.999999Z"},
		{-1e18, "0001-01-01T00:00:00.000000Z"},
		{math.Inf(1), "9999-12-31T23:59:59.999999Z"},
		{math.NaN(), "0001-01-01T00:00:00.000000Z"},
	} {
		if got := now.Add(c.seconds).String(); got != c.want {
			t.Errorf("now + %v = %s, want %s", c.seconds, got, c.want)
		}
	}
	if d := now.Add(2.25).Sub(now); d != 2.25 {
		t.Errorf("difference %v", d)
	}
	if !now.Before(now.Add(1)) || now.Before(now) {
		t.Error("Before")
	}
}
