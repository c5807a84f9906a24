package config

import (
	"cmp"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// A Choice is what options, or the environment, say.
type Choice struct {
	Engine string // URL, or name of a profile; "" says nothing
	Dir    string
	Store  string // URL
}

// Settled is what counts in the end.
type Settled struct {
	Engine *url.URL // with the settings of the file, where the URL has none of that name
	Dir    string   // for jobs and the store; "" if nobody says
	Store  string   // URL; "" if nobody says: it is in Dir
}

// Resolve joins the file with the environment, which overrides it, and options, which override both. The path of an
// engine's URL (slurm:///shared/me) is a directory too; at the same place a directory that is named as such counts.
func (f *File) Resolve(env, options Choice) (Settled, error) {
	s := Settled{}
	used := Choice{}
	for i, c := range []Choice{options, env, {Engine: f.Engine, Dir: f.Dir, Store: f.Store}} {
		file := i == 2
		if file {
			c.Dir = f.path(c.Dir)
		}
		if c.Engine != "" && used.Engine == "" {
			used.Engine = c.Engine
			p := f.Profiles[c.Engine]
			u, err := parseEngine(cmp.Or(p.Engine, c.Engine), f)
			if err != nil {
				return s, err
			}
			f.merge(u, p)
			s.Engine = u
			c.Dir, c.Store = cmp.Or(c.Dir, f.path(p.Dir)), cmp.Or(c.Store, p.Store)
			if u.Host == "" && u.Opaque == "" {
				c.Dir = cmp.Or(c.Dir, u.Path)
			}
		}
		used.Dir, used.Store = cmp.Or(used.Dir, c.Dir), cmp.Or(used.Store, c.Store)
	}
	if s.Engine == nil {
		s.Engine = &url.URL{Scheme: "local"}
		f.merge(s.Engine, Profile{})
	}
	s.Dir, s.Store = used.Dir, used.Store
	return s, nil
}

// parseEngine reads the URL of an engine, which may be a bare scheme.
func parseEngine(raw string, f *File) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("engine %q: %w", raw, err)
	}
	if u.Scheme == "" {
		if raw != "local" && raw != "slurm" && raw != "azbatch" && len(f.Profiles) > 0 {
			return nil, fmt.Errorf("engine %q is no URL, and no profile of %s", raw, f.Path)
		}
		u = &url.URL{Scheme: raw}
	}
	return u, nil
}

// merge adds to an engine's URL the settings that it does not have: those of the profile, then those of the file.
func (f *File) merge(u *url.URL, p Profile) {
	q := u.Query()
	for _, from := range []*Profile{&p, &f.Profile} {
		settings, ok := from.settings()[u.Scheme]
		if !ok {
			continue
		}
		for name, values := range query(settings) {
			if _, has := q[name]; !has {
				q[name] = values
			}
		}
	}
	u.RawQuery = q.Encode()
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
