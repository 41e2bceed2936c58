package sdk

import "github.com/interlock-run/interlock/sdk/value"

// Chance is a sequence of numbers that looks random and is the same whenever the
// same transition is decided.
type Chance struct {
	state  uint64
	seeded bool
}

// newChance seeds by FNV-1a over the seed and the rule's name.
func newChance(seed value.Value, rule string) Chance {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	var scratch [96]byte
	for _, b := range seed.AppendText(scratch[:0]) {
		h = (h ^ uint64(b)) * prime
	}
	h *= prime
	for i := range len(rule) {
		h = (h ^ uint64(rule[i])) * prime
	}
	return Chance{h, true}
}

// Uint64 returns the next number (splitmix64).
func (c *Chance) Uint64() uint64 {
	c.state += 0x9e3779b97f4a7c15
	z := c.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Float64 returns the next number, from 0 up to but without 1.
func (c *Chance) Float64() float64 { return float64(c.Uint64()>>11) / (1 << 53) }
