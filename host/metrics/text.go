package metrics

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ContentType is that of what [Text] writes.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Label is a name and a value. The value can be any text.
type Label struct{ Name, Value string }

// Text is metrics as text, family by family.
type Text struct{ b []byte }

// Bytes returns what was written.
func (t *Text) Bytes() []byte { return t.b }

// Family begins the samples of one name; kind is counter, gauge or histogram.
func (t *Text) Family(name, kind, help string) *Family {
	t.b = append(t.b, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
	return &Family{t, name}
}

// Family is the metrics of one name.
type Family struct {
	text *Text
	name string
}

// Add writes a sample.
func (f *Family) Add(value float64, labels ...Label) { f.sample("", value, labels) }

// AddHistogram writes the samples of a histogram. Observations that come in
// meanwhile are in all of its samples or in none but the sum.
func (f *Family) AddHistogram(h *Histogram, labels ...Label) {
	sum, total := math.Float64frombits(h.sum.Load()), uint64(0)
	for i := range h.counts {
		total += h.counts[i].Load()
		bound := math.Inf(1)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		}
		f.sample("_bucket", float64(total), append(labels[:len(labels):len(labels)], Label{"le", number(bound)}))
	}
	f.sample("_sum", sum, labels)
	f.sample("_count", float64(total), labels)
}

func (f *Family) sample(suffix string, value float64, labels []Label) {
	b := append(append(f.text.b, f.name...), suffix...)
	for i, l := range labels {
		b = append(b, "{,"[min(i, 1)])
		b = append(append(b, l.Name...), `="`...)
		b = append(append(b, escape(l.Value)...), '"')
	}
	if len(labels) > 0 {
		b = append(b, '}')
	}
	f.text.b = append(append(append(b, ' '), number(value)...), '\n')
}

func number(v float64) string {
	if math.IsInf(v, 1) {
		return "+Inf"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// escape makes any text a label's value.
func escape(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "�")
	}
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(s)
}
