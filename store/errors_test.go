package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/interlock-run/interlock/host/prefect"
)

func TestErrorsOfPostgresGetTheirCodes(t *testing.T) {
	db := &DB{d: &dialect{postgres: true}, url: address{shown: "postgres at h/d"}}
	plain := errors.New("something else")
	const secret = "what was sent"
	for name, c := range map[string]struct {
		err  error
		code prefect.Code
	}{
		"unique":           {&pgconn.PgError{Code: "23505"}, prefect.Conflict},
		"foreign key":      {&pgconn.PgError{Code: "23503"}, prefect.Conflict},
		"serialization":    {&pgconn.PgError{Code: "40001"}, prefect.Unavailable},
		"deadlock":         {&pgconn.PgError{Code: "40P01"}, prefect.Unavailable},
		"disk full":        {&pgconn.PgError{Code: "53100"}, prefect.Unavailable},
		"shutting down":    {&pgconn.PgError{Code: "57P01"}, prefect.Unavailable},
		"no extension":     {&pgconn.PgError{Code: "0A000", Message: `extension "pg_trgm" is not available`}, prefect.Unavailable},
		"half a surrogate": {&pgconn.PgError{Code: "22P05", Message: "unsupported Unicode escape sequence", Detail: secret}, prefect.Invalid},
		"a huge number":    {&pgconn.PgError{Code: "22003", Message: "value overflows numeric format: " + secret}, prefect.Invalid},
		"a long key":       {&pgconn.PgError{Code: "54000", Message: "index row size exceeds btree version 4 maximum"}, prefect.Invalid},
		"deep JSON":        {&pgconn.PgError{Code: "54001", Message: "stack depth limit exceeded"}, prefect.Invalid},
		"no right":         {&pgconn.PgError{Code: "42501", Message: "permission denied for schema public"}, prefect.Unavailable},
		"cut off":          {io.ErrUnexpectedEOF, prefect.Unavailable},
		"driver gave up":   {driver.ErrBadConn, prefect.Unavailable},
		"a mistake of SQL": {&pgconn.PgError{Code: "42601"}, prefect.Internal},
		"ours":             {prefect.Errorf(prefect.NotFound, "no flow"), prefect.NotFound},
		"no database's":    {plain, prefect.Internal},
		"cancelled":        {context.Canceled, prefect.Internal},
	} {
		got := db.translate(fmt.Errorf("insert state: %w", c.err))
		if prefect.CodeOf(got) != c.code {
			t.Errorf("%s: code %s, want %s", name, prefect.CodeOf(got), c.code)
		}
		if !errors.Is(got, c.err) {
			t.Errorf("%s: the cause is lost", name)
		}
		if strings.Contains(got.Error(), "%!") || strings.Contains(got.Error(), secret) {
			t.Errorf("%s: the message is %q", name, got)
		}
	}
	if db.translate(nil) != nil {
		t.Error("no error became one")
	}
}
