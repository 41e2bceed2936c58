package orchestrate

import (
	"strconv"
	"strings"
)

// Client is who proposes, as the request's headers say.
type Client struct {
	Version    string // of a User-Agent "prefect/<version> (API ...)", or ""
	APIVersion string // of X-PREFECT-API-VERSION, or ""
}

// Version is a parsed version of the Python world. The zero Version is one that
// is unknown or cannot be read.
type Version struct {
	Text       string
	Release    []int // 3.4.11rc1: 3, 4, 11
	Prerelease bool  // an alpha, beta, candidate or development release
}

// Known reports whether the version could be read.
func (v Version) Known() bool { return len(v.Release) > 0 }

// Before reports whether a known v's release is older than release. A
// pre-release of that very release is.
func (v Version) Before(release ...int) bool {
	for i, want := range release {
		have := 0
		if i < len(v.Release) {
			have = v.Release[i]
		}
		if have != want {
			return v.Known() && have < want
		}
	}
	return v.Known() && v.Prerelease && len(v.Release) <= len(release)
}

// ParseVersion reads what rules compare of a version as PEP 440 writes it
// ("3.4.11rc1", "3.5.0.dev3+2.gabcdef0"). What cannot be read is the zero
// Version, never an error: a client with an odd version is an unknown client.
func ParseVersion(text string) Version {
	public, _, _ := strings.Cut(text, "+")
	public = strings.ToLower(strings.TrimPrefix(public, "v"))
	release, rest := leadingRelease(public)
	if len(release) == 0 {
		return Version{}
	}
	prerelease, ok := readSuffix(rest)
	if !ok {
		return Version{}
	}
	return Version{Text: text, Release: release, Prerelease: prerelease}
}

// leadingRelease reads numbers with dots between them and returns what follows.
func leadingRelease(s string) (release []int, rest string) {
	for {
		digits := 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			digits++
		}
		n, err := strconv.Atoi(s[:digits])
		if err != nil {
			return nil, ""
		}
		release, s = append(release, n), s[digits:]
		if len(s) < 2 || s[0] != '.' || s[1] < '0' || s[1] > '9' {
			return release, s
		}
		s = s[1:]
	}
}

// versionSuffixes are the words that may follow a release, longest first where
// one begins with another.
var versionSuffixes = [...]struct {
	word string
	pre  bool
}{
	{"alpha", true}, {"beta", true}, {"preview", true}, {"pre", true}, {"rc", true},
	{"post", false}, {"rev", false}, {"dev", true}, {"a", true}, {"b", true}, {"c", true}, {"r", false},
}

// readSuffix reads words with an optional number each, such as "rc1.dev2".
func readSuffix(s string) (prerelease, ok bool) {
	for s != "" {
		s = strings.TrimLeft(s, ".-_")
		found := false
		for _, suffix := range versionSuffixes {
			if after, has := strings.CutPrefix(s, suffix.word); has {
				s = strings.TrimLeft(strings.TrimLeft(after, ".-_"), "0123456789")
				prerelease = prerelease || suffix.pre
				found = true
				break
			}
		}
		if !found {
			return false, false
		}
	}
	return prerelease, true
}
