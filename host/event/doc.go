// Package event moves events: it takes them in over the websocket and REST and
// from the outbox of transitions, stores them, records the task runs that clients
// orchestrate themselves, and sends them on to subscribers.
//
//	client ── websocket /events/in ──┐                      ┌─▶ store: events, event_resources
//	client ── POST /events ──────────┼─▶ Intake ─ batches ──┼─▶ store: task runs and their states
//	                                 │                      └─▶ Bus ──▶ websocket /events/out
//	transition ─▶ interlock_outbox ──┴─▶ Relay ─ batches ───┘
//
// Nothing that was accepted is lost: an event leaves the intake's queue, and an
// outbox row its table, only when it is stored. Both may store an event again
// after a crash, which its id makes harmless. A subscriber that does not keep up
// is cut off; it connects again and reads what it missed from the store.
package event
