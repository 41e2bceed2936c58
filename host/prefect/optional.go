package prefect

import "encoding/json"

// Optional tells a field that was sent from one that was not: a PATCH changes
// only what is Set, and null is a value like any other.
type Optional[T any] struct {
	Set   bool
	Value T
}

// UnmarshalJSON marks the field as sent and decodes its value.
func (o *Optional[T]) UnmarshalJSON(b []byte) error {
	o.Set = true
	return json.Unmarshal(b, &o.Value)
}

// Apply copies the value to dst if the field was sent.
func (o Optional[T]) Apply(dst *T) {
	if o.Set {
		*dst = o.Value
	}
}

// OrEmpty makes no list an empty one, which is [] as JSON and not null.
func OrEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
