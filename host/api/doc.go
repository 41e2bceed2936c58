// Package api serves Prefect's REST API, and interlock's own under
// /api/interlock, on top of what [Config] brings: a store, an orchestrator and a
// policy registry. It holds no rules: it decodes and checks what came in (see
// package bind), calls, and encodes what comes back.
//
// routes.go is the map: one line an operation. There is one file a tag of the
// reference's OpenAPI document, and one struct a request schema, whose tags say
// what the schema says; a test compares both with the reference's document.
//
// A request passes, in this order: recovery, deadline of the body, request id and log, CORS, origin, CSRF
// token, credentials, deadline, API version, routing. Websockets skip all but the
// first: they authenticate by message and live long.
package api
