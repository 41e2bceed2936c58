package storetest_test

import (
	"os"
	"testing"

	"github.com/interlock-run/interlock/store/storetest/pgtest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	pgtest.Stop()
	os.Exit(code)
}
