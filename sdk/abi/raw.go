package abi

import "errors"

// Raw is a JSON text that is carried, not read. It does for these shapes what
// json.RawMessage does, without making a guest link encoding/json; a host
// converts between the two with a plain conversion. nil is "absent".
type Raw []byte

// MarshalJSON returns the text itself, null for an absent one.
func (r Raw) MarshalJSON() ([]byte, error) {
	if r == nil {
		return []byte("null"), nil
	}
	return r, nil
}

// UnmarshalJSON keeps a copy of text.
func (r *Raw) UnmarshalJSON(text []byte) error {
	if r == nil {
		return errors.New("abi.Raw: UnmarshalJSON on a nil pointer")
	}
	*r = append((*r)[:0], text...)
	return nil
}

// IsNull reports whether r is absent or the literal null.
func (r Raw) IsNull() bool { return len(r) == 0 || string(r) == "null" }
