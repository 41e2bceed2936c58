// Package service holds the background services of a server: what happens
// because time passes and not because a client asks.
//
// Each service has Start(ctx) and Stop(); both are safe to call twice, and Stop
// returns when the work in progress is done. Several replicas may run the same
// service on one database: whatever a service does to a run names the state that
// it saw, so the second to do it finds the run changed and does nothing.
package service
