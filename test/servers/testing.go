package servers

import (
	"testing"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

// Patient are settings, in seconds, under which no server gives anything up because
// the machine is slow: neither a policy nor a statement. They are for tests, not for
// measuring.
func Patient() []string {
	return []string{"INTERLOCK_SANDBOX_DEADLINE=300", "PREFECT_SERVER_DATABASE_TIMEOUT=300", "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT=300"}
}

// Run starts a [Patient] server for a test and ends it with the test; a failed test
// prints the end of the server's log.
func Run(t testing.TB, o Options) *Server {
	t.Helper()
	o.Env = append(Patient(), o.Env...)
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	EndWith(t, s)
	return s
}

// EndWith ends a server with the test; see [Run]. Any goroutine may call it.
func EndWith(t testing.TB, s *Server) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of %s:\n%s", s.Kind, s.LogTail(3000))
		}
		if err := s.Stop(); err != nil && s.Kind == Interlock {
			t.Errorf("interlock did not stop cleanly: %v", err)
		}
	})
}

// Postgres returns the SQLAlchemy URL of a new database that is dropped when t
// ends. Call pgtest.Stop from TestMain.
func Postgres(t testing.TB) string {
	t.Helper()
	return SQLAlchemyURL(pgtest.URL(t))
}
