package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clusterless-go/clusterless/internal/spelling"
)

// A Choice is what options, or the environment, say.
type Choice struct {
	Engine  string // URL, or name of a profile; "" says nothing
	Dir     string
	Store   string // URL
	Program string // path
}

// Settled is what counts in the end.
type Settled struct {
	Engine  *url.URL // with the settings of the file, where the URL has none of that name
	Dir     string   // for jobs and the store; "" if nobody says
	Store   string   // URL; "" if nobody says: it is in Dir
	Program string   // path; "" if nobody says: it is this program
	// Who says which engine and store, for errors: "CLUSTERLESS_ENGINE", "option Engine", a file, a profile of it; "" if nobody does.
	EngineFrom, StoreFrom string
	// MakeStore says that the store's container is made if it is not there: its URL has create=true, or it is one of the original.
	MakeStore bool
	Task      Task
	Notes     []string // about files of the original, for people
}

// Task is what a task has where neither options nor functions say: zero is not said.
type Task struct{ Nodes, RanksPerNode, Threads, Cores int }

// Resolve joins the files of the original with the file, which overrides them, the environment, which overrides both, and
// options, which override all. The path of an engine's URL (slurm:///shared/me) is a directory too; at the same place a directory
// that is named as such counts.
func (f *File) Resolve(env, options Choice) (Settled, error) {
	s := Settled{}
	used := Choice{}
	base := f.base()
	for _, c := range []struct {
		Choice
		engine, store string // who says so
	}{
		{options, "option Engine", "option Store"},
		{env, "CLUSTERLESS_ENGINE", "CLUSTERLESS_STORE"},
		{Choice{Engine: f.Engine, Dir: f.path(f.Dir), Store: f.Store, Program: f.path(f.Program)}, f.Path, f.Path},
		{Choice{Engine: base.Engine}, base.path, base.path},
	} {
		if c.Engine != "" && used.Engine == "" {
			used.Engine = c.Engine
			p, isProfile := f.Profiles[c.Engine]
			if isProfile {
				c.engine = strings.TrimPrefix(c.engine+", profile "+c.Engine+" of "+f.Path, f.Path+", ")
			}
			u, err := parseEngine(cmp.Or(p.Engine, c.Engine), f)
			if err != nil {
				return s, fmt.Errorf("%s: %w", c.engine, err)
			}
			s.Engine, s.EngineFrom = u, c.engine
			if f.merge(u, p) && !strings.HasSuffix(c.engine, f.Path) {
				s.EngineFrom += ", settings of " + f.Path
			}
			if c.Store == "" {
				c.store = c.engine
			}
			c.Dir, c.Store, c.Program = cmp.Or(c.Dir, f.path(p.Dir)), cmp.Or(c.Store, p.Store), cmp.Or(c.Program, f.path(p.Program))
			if u.Host == "" && u.Opaque == "" {
				c.Dir = cmp.Or(c.Dir, u.Path)
			}
		}
		if used.Store == "" && c.Store != "" {
			s.StoreFrom = c.store
		}
		used.Dir, used.Store, used.Program = cmp.Or(used.Dir, c.Dir), cmp.Or(used.Store, c.Store), cmp.Or(used.Program, c.Program)
	}
	if s.Engine == nil {
		s.Engine = &url.URL{Scheme: "local"}
		if f.merge(s.Engine, Profile{}) {
			s.EngineFrom = f.Path
		}
	}
	s.Dir, s.Store, s.Program = used.Dir, used.Store, used.Program
	if f.Original != nil && base.isFor(s.Engine) {
		if s.Store == "" && base.Store != "" {
			s.Store, s.StoreFrom, s.MakeStore = base.Store, base.path, true
		}
		s.Task, s.Notes = base.task, f.Original.Notes
	}
	if u, err := url.Parse(s.Store); err == nil && u.Query().Get("create") == "true" {
		q := u.Query()
		q.Del("create")
		u.RawQuery = q.Encode()
		s.Store, s.MakeStore = u.String(), true
	}
	return s, nil
}

// parseEngine reads the URL of an engine, which may be a bare scheme.
func parseEngine(raw string, f *File) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("engine %q: %w", raw, err)
	}
	if u.Scheme == "" {
		if engines := Engines(); !slices.Contains(engines, raw) {
			profiles := slices.Sorted(maps.Keys(f.Profiles))
			hint := spelling.Hint(raw, append(profiles, engines...))
			if f.Path == "" {
				return nil, fmt.Errorf("engine %q is no URL (as slurm: is one), and there is no clusterless.toml with a profile of that name%s", raw, hint)
			}
			return nil, fmt.Errorf("engine %q is no URL, and no profile of %s%s; engines are %s; its profiles are %s", raw, f.Path, hint,
				strings.Join(engines, ", "), cmp.Or(strings.Join(profiles, ", "), "none"))
		}
		u = &url.URL{Scheme: raw}
	}
	return u, nil
}

// merge adds to an engine's URL the settings that it does not have: those of the profile, then those of the file. It reports
// whether there were any.
func (f *File) merge(u *url.URL, p Profile) (more bool) {
	q := u.Query()
	for _, from := range []*Profile{&p, &f.Profile} {
		settings, ok := from.settings()[u.Scheme]
		if !ok {
			continue
		}
		for name, values := range query(settings) {
			if _, has := q[name]; !has {
				q[name], more = values, true
			}
		}
	}
	if base := f.base(); base.isFor(u) {
		ours := maps.Clone(q)
		for name, values := range query(base.AzBatch) {
			if !overridden(ours, name) {
				q[name] = values
			}
		}
	}
	u.RawQuery = q.Encode()
	return more
}

// path is a path of the file.
func (f *File) path(p string) string {
	if rest, ok := strings.CutPrefix(p, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(filepath.Dir(f.Path), p)
}
