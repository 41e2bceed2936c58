package prefect

import (
	"encoding/json"
	"testing"
)

func TestTimesOfYearsThatNoDatabaseHolds(t *testing.T) {
	for _, text := range []string{
		`"9999-12-31T23:59:59-05:00"`, // the year 10000 in UTC
		`"0001-01-01T00:00:00+01:00"`,
		`"0000-06-01T00:00:00Z"`,
		`"0000-06-01"`,
		`-200000000000000`,
		`"-200000000000000"`,
	} {
		var at Time
		if err := json.Unmarshal([]byte(text), &at); err == nil {
			t.Errorf("%s is %s", text, at)
		}
	}
	for text, want := range map[string]string{
		`"9999-12-31T23:59:59.999999Z"`: "9999-12-31T23:59:59.999999Z",
		`"0001-01-01T00:00:00"`:         "0001-01-01T00:00:00Z",
		`200000000000000`:               "8307-10-01T19:33:20Z",
	} {
		var at Time
		if err := json.Unmarshal([]byte(text), &at); err != nil || at.String() != want {
			t.Errorf("%s is %s, %v; want %s", text, at, err, want)
		}
	}
}
