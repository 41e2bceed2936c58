package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// The schema needs pg_trgm, which some builds of Postgres come without: those on
// PyPI for one. A stand-in has to do there. It declares the operator class that
// the schema's indexes name, under which every row is indexed by no key and no
// query can use the index: what the indexes are is tested, and they cost and
// bring nothing. The function behind it is one of Postgres' own that leaves its
// arguments alone.
const (
	standInControl = "default_version = '1.6'\nrelocatable = true\ntrusted = true\n"
	standInScript  = `
CREATE FUNCTION gin_no_keys(text, internal) RETURNS internal AS 'pg_backend_pid' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION gin_no_keys(text, internal, int2, internal, internal, internal, internal) RETURNS internal AS 'pg_backend_pid' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION gin_no_match(internal, int2, text, int4, internal, internal, internal, internal) RETURNS bool AS 'pg_backend_pid' LANGUAGE internal IMMUTABLE STRICT;
CREATE OPERATOR CLASS gin_trgm_ops FOR TYPE text USING gin AS
	FUNCTION 1 bttextcmp(text, text),
	FUNCTION 2 gin_no_keys(text, internal),
	FUNCTION 3 gin_no_keys(text, internal, int2, internal, internal, internal, internal),
	FUNCTION 4 gin_no_match(internal, int2, text, int4, internal, internal, internal, internal),
	STORAGE text;
`
	// standInFrom is the first version that looks for extensions in other
	// directories than its own.
	standInFrom = 18
)

var errNoTrigrams = errors.New("it lacks the extension pg_trgm, which Debian's postgresql has")

// standIn writes the stand-in below dir and returns the setting by which the
// server finds it after its own extensions; "" for a server too old to look.
func standIn(bin, dir string) (setting string, err error) {
	version, err := majorVersion(bin)
	if err != nil || version < standInFrom {
		return "", err
	}
	extensions := filepath.Join(dir, "extension")
	if err := os.Mkdir(extensions, 0o755); err != nil {
		return "", err
	}
	for name, text := range map[string]string{"pg_trgm.control": standInControl, "pg_trgm--1.6.sql": standInScript} {
		if err := os.WriteFile(filepath.Join(extensions, name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return "extension_control_path=$system:" + dir, nil
}

func majorVersion(bin string) (int, error) {
	out, err := exec.Command(filepath.Join(bin, "postgres"), "--version").Output()
	if err != nil {
		return 0, err
	}
	number := regexp.MustCompile(`\d+`).Find(out)
	if number == nil {
		return 0, fmt.Errorf("postgres --version says %q", out)
	}
	return strconv.Atoi(string(number))
}

// needTrigrams fails if the server at url cannot make the extension.
func needTrigrams(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	var there bool
	err = conn.QueryRow(ctx, "SELECT count(*) > 0 FROM pg_available_extensions WHERE name = 'pg_trgm'").Scan(&there)
	if err == nil && !there {
		err = errNoTrigrams
	}
	return err
}
