package twin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/interlock-run/interlock/test/rest"
	"github.com/interlock-run/interlock/test/servers"
)

// lease is slots of limits that somebody holds for a time.
type lease struct {
	limits  []string
	slots   int
	expires time.Time
}

// leaseFiles is where the reference keeps its leases, as it is told to here.
func (s *side) leaseFiles() string { return filepath.Join(s.server.Home, "concurrency_leases") }

// readLeases adds the leases on the limits that are looked at, but those without
// an end: the reference forgets them, or has them last for a hundred years.
func (s *side) readLeases(ctx context.Context, limits *around) error {
	read := s.leaseRows
	if s.server.Kind == servers.Reference {
		read = s.leasesOfFiles
	}
	all, err := read(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b lease) int { return a.expires.Compare(b.expires) })
	seen := map[string]int{}
	for _, l := range all {
		for _, id := range l.limits {
			if r := limits.keys[id]; r != nil {
				r.seen[fmt.Sprintf("%s lease[%d]", limits.as[id], seen[id])] = fmt.Sprintf("%d slots until %s", l.slots, r.normal.instant(l.expires))
				seen[id]++
			}
		}
	}
	return nil
}

func (s *side) leaseRows(ctx context.Context) ([]lease, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT CAST(h.limit_id AS TEXT), l.slots, CAST(l.expires AS TEXT) FROM interlock_slot_lease l
		JOIN interlock_slot_holding h ON h.lease_id = l.id WHERE l.expires IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []lease
	for rows.Next() {
		l := lease{limits: make([]string, 1)}
		var expires string
		if err := rows.Scan(&l.limits[0], &l.slots, &expires); err != nil {
			return nil, err
		}
		if l.expires, err = parseTime(expires); err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, rows.Err()
}

func (s *side) leasesOfFiles(context.Context) ([]lease, error) {
	files, err := filepath.Glob(filepath.Join(s.leaseFiles(), "*-*.json"))
	if err != nil {
		return nil, err
	}
	var all []lease
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var l struct {
			ResourceIDs []string `json:"resource_ids"`
			Expiration  string
			Metadata    struct{ Slots int }
		}
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		expires, err := parseTime(l.Expiration)
		if err != nil {
			return nil, err
		}
		if expires.Before(time.Now().AddDate(50, 0, 0)) {
			all = append(all, lease{l.ResourceIDs, l.Metadata.Slots, expires})
		}
	}
	return all, nil
}

// forgetLeases clears the reference's files of leases, since it reads them all
// whenever it looks for one. No request may be under way.
func (s *side) forgetLeases() error {
	files, err := filepath.Glob(filepath.Join(s.leaseFiles(), "*.json"))
	for _, file := range files {
		err = errors.Join(err, os.Remove(file))
	}
	return err
}

// giveBack ends the lease of a run's slot as its holder would, or the
// server once it has expired.
func (s *side) giveBack(ctx context.Context, r *run) error {
	var current struct {
		State struct {
			Details struct {
				Lease string `json:"deployment_concurrency_lease_id"`
			} `json:"state_details"`
		}
	}
	if err := s.client.Get(ctx, strings.TrimSuffix(r.kind.path, "/")+"/"+r.id, &current); err != nil {
		return err
	}
	reply, err := s.client.Do(ctx, rest.Request{Method: http.MethodPost, Path: "/v2/concurrency_limits/decrement-with-lease", Body: object{"lease_id": current.State.Details.Lease}})
	if err == nil && reply.Status >= 300 {
		err = fmt.Errorf("%s: give back %q: %d %s", s.server.Kind, current.State.Details.Lease, reply.Status, reply.Raw)
	}
	return err
}
