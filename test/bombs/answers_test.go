package bombs

import (
	"strings"

	. "github.com/interlock-run/interlock/host/sandbox/wasmtest"
)

// answers are modules whose answer is no verdict, though the sandbox lets it pass.
func answers() []Bomb {
	accept := func(more string) string {
		return `{"decisions":[{"rule":"` + rule + `","decision":"ACCEPT"` + more + `}]}`
	}
	reject := func(state string) string {
		return `{"decisions":[{"rule":"` + rule + `","decision":"REJECT","reason":"r","state":` + state + `}]}`
	}
	var all []Bomb
	for _, a := range []struct{ name, text string }{
		{"nothing", ""},
		{"not UTF-8", accept(`,"reason":"` + "\xff\xfe\xc0\x80" + `"`)},
		{"half a surrogate", accept(`,"reason":"\ud800"`)},
		{"NaN", `{"decisions":[{"rule":"` + rule + `","decision":"WAIT","reason":"r","delay_seconds":NaN}]}`},
		{"1e999", `{"decisions":[{"rule":"` + rule + `","decision":"WAIT","reason":"r","delay_seconds":1e999}]}`},
		{"a delay of 10^18", `{"decisions":[{"rule":"` + rule + `","decision":"WAIT","reason":"r","delay_seconds":1000000000000000000}]}`},
		{"depth 10,000", strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000)},
		{"depth 10,000, unclosed", `{"decisions":` + strings.Repeat(`{"a":`, 10_000)},
		{"a key twice", accept(`,"decision":"ACCEPT"`)},
		{"another rule", `{"decisions":[{"rule":"Other","decision":"ACCEPT"}]}`},
		{"an unknown decision", `{"decisions":[{"rule":"` + rule + `","decision":"MAYBE"}]}`},
		{"an unknown field", accept(`,"colour":"red"`)},
		{"an unknown state", reject(`{"type":"DONE"}`)},
		{"an unknown flag", accept(`,"flags":{"set_everything":true}`)},
		{"an unknown effect", accept(`,"effects":[{"type":"drop_table"}]`)},
		{"an effect that nobody granted", accept(`,"effects":[{"type":"set_run_state","run_type":"flow_run","run_id":"8a3e6f5c-1111-4000-8000-000000000001","copy_written":true}]`)},
		{"an event in the server's name", accept(`,"effects":[{"type":"emit_event","event":"prefect.flow-run.Completed"}]`)},
		{"a read-only field", accept(`,"run":{"run_count":0}`)},
		{"a reason of 60 KB", `{"decisions":[{"rule":"` + rule + `","decision":"ABORT","reason":"` + strings.Repeat("x", 60_000) + `"}]}`},
		{"8,000 decisions", `{"decisions":[` + strings.Repeat(`{},`, 8_000) + `{}]}`},
	} {
		m := PolicyOf(&Builder{}, manifest, 4)
		m.Data(FreeAt, []byte(a.text))
		all = append(all, Bomb{Name: "verdict: " + a.name, Wasm: m.Evaluate(nil, Pack(FreeAt, uint32(len(a.text)))), Outcome: verdict})
	}
	return all
}
