package orchestrate

import (
	"slices"
	"testing"
)

func TestParseVersion(t *testing.T) {
	for _, c := range []struct {
		text    string
		release []int
		pre     bool
	}{
		{"3.4.11", []int{3, 4, 11}, false},
		{"3.4.11rc1", []int{3, 4, 11}, true},
		{"3.0.0rc20", []int{3, 0, 0}, true},
		{"3.5.0.dev3+2.gabcdef0", []int{3, 5, 0}, true},
		{"3.5.0.post1", []int{3, 5, 0}, false},
		{"3.5.0+local.1", []int{3, 5, 0}, false},
		{"v2.0", []int{2, 0}, false},
		{"1.0-alpha.2.dev1", []int{1, 0}, true},
		{"0.8.4", []int{0, 8, 4}, false},
		{"", nil, false},
		{"three", nil, false},
		{"3.4.x", nil, false},
		{"3.4.11 (API 0.8.4)", nil, false},
		{"99999999999999999999.1", nil, false},
	} {
		v := ParseVersion(c.text)
		if !slices.Equal(v.Release, c.release) || v.Prerelease != c.pre {
			t.Errorf("%q: %v %v, want %v %v", c.text, v.Release, v.Prerelease, c.release, c.pre)
		}
		if v.Known() != (c.release != nil) {
			t.Errorf("%q: known is %v", c.text, v.Known())
		}
	}
}

func TestVersionBefore(t *testing.T) {
	for _, c := range []struct {
		text string
		want bool
	}{
		{"3.4.10", true}, {"3.4.11rc1", true}, {"3.4.11", false}, {"3.4.12rc1", false}, {"3.4", true},
		{"3.5", false}, {"4.0a1", false}, {"2.99.99", true}, {"3.4.11.1", false}, {"3.4.11.1rc1", false}, {"", false}, {"odd", false},
	} {
		if got := ParseVersion(c.text).Before(3, 4, 11); got != c.want {
			t.Errorf("%q before 3.4.11: %v", c.text, got)
		}
	}
}
