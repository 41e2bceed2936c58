// Package host wires a server: the store, the policies in their sandbox, the
// orchestration, the events, the services and the API, from one [Config].
package host
