package host

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func lookupIn(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func TestFromEnvironment(t *testing.T) {
	c := DefaultConfig()
	err := c.FromEnvironment(lookupIn(map[string]string{
		"PREFECT_SERVER_API_HOST":                                      "0.0.0.0",
		"PREFECT_SERVER_API_PORT":                                      "4300",
		"PREFECT_API_DATABASE_CONNECTION_URL":                          "postgresql+asyncpg://u:p@h/d",
		"PREFECT_SERVER_API_AUTH_STRING":                               "admin:secret",
		"PREFECT_SERVER_CSRF_PROTECTION_ENABLED":                       "True",
		"PREFECT_SERVER_API_CSRF_TOKEN_EXPIRATION":                     "90",
		"PREFECT_SERVER_LOGGING_LEVEL":                                 "warning",
		"PREFECT_SERVER_API_DEFAULT_LIMIT":                             "",
		"INTERLOCK_SERVICES":                                           "off",
		"PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60.5",
		"PREFECT_DEPLOYMENT_CONCURRENCY_SLOT_WAIT_SECONDS":             "0",
		"PREFECT_SERVER_TASKS_TAG_CONCURRENCY_SLOT_WAIT_SECONDS":       "2",
		"INTERLOCK_HOME":                                               "/data",
		"PREFECT_SERVER_CORS_ALLOWED_ORIGINS":                          " http://UI:8080, https://[::1]:443, http://ui:443 ,",
		"PREFECT_SERVER_API_CORS_ALLOWED_METHODS":                      "GET,POST",
		"INTERLOCK_QUARANTINE_AFTER":                                   "3",
		"INTERLOCK_SQLITE_SYNC":                                        "false",
		"PREFECT_SERVER_API_CSRF_PROTECTION_ENABLD":                    "misspelt names are ignored",
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultConfig()
	want.Host, want.Port = "0.0.0.0", 4300
	want.DatabaseURL, want.AuthString = "postgresql+asyncpg://u:p@h/d", "admin:secret"
	want.CSRFProtection, want.CSRFExpiration = true, 90*time.Second
	want.DeploymentLease, want.DeploymentSlotWait, want.TagSlotWait = 60500*time.Millisecond, 0, 2*time.Second
	want.LogLevel, want.Services, want.Home = slog.LevelWarn, false, "/data"
	want.QuarantineAfter, want.SQLiteSync = 3, false
	want.CORSOrigins, want.CORSMethods = "http://ui:8080,https://[::1],http://ui:443", "GET,POST"
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestThePrefectNameOfASettingWinsOverItsAlias(t *testing.T) {
	c := DefaultConfig()
	err := c.FromEnvironment(lookupIn(map[string]string{
		"PREFECT_API_DATABASE_CONNECTION_URL":    "sqlite:///old.db",
		"PREFECT_SERVER_DATABASE_CONNECTION_URL": "sqlite:///new.db",
	}))
	if err != nil || c.URL() != "sqlite:///new.db" {
		t.Errorf("URL is %q, err %v", c.URL(), err)
	}
}

func TestABadSettingIsNamedAndItsValueIsNot(t *testing.T) {
	for name, value := range map[string]string{
		"PREFECT_SERVER_API_PORT":                  "s3cret",
		"PREFECT_SERVER_CSRF_PROTECTION_ENABLED":   "s3cret",
		"PREFECT_SERVER_API_CSRF_TOKEN_EXPIRATION": "-s3cret",
		"PREFECT_SERVER_LOGGING_LEVEL":             "s3cret",
		"PREFECT_SERVER_API_MAX_PARAMETER_SIZE":    "-1s3cret",
		"PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS":  "http://ui,s3cret",
		"PREFECT_SERVER_CORS_ALLOWED_ORIGINS":      "http://s3cret/path",
	} {
		c := DefaultConfig()
		err := c.FromEnvironment(lookupIn(map[string]string{name: value}))
		if err == nil {
			t.Errorf("%s=%s was accepted", name, value)
			continue
		}
		if !strings.Contains(err.Error(), name) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: error is %q", name, err)
		}
	}
}

func TestDefaultDatabaseIsInHome(t *testing.T) {
	c := Config{Home: "/data"}
	if got := c.URL(); got != "sqlite+aiosqlite:////data/interlock.db" {
		t.Errorf("URL is %q", got)
	}
}
