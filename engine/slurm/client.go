package slurm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/engine"
)

// Clients that live touch a file every beatEvery; one that has not for deadAfter is dead. Both times are the file
// server's, so that clocks need not agree.
const (
	beatEvery = 15 * time.Second
	deadAfter = 90 * time.Second
)

// beginBeat makes this client known to others, until Close.
func (e *Engine) beginBeat() error {
	host, _, _ := strings.Cut(hostname(), ".")
	e.client = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), random())
	path := filepath.Join(e.c.Dir, "clients", e.client)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	e.wg.Go(e.sweep)
	e.wg.Add(1)
	go func() {
		defer e.wg.Done()
		defer os.Remove(path)
		ticker := time.NewTicker(beatEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				if err := os.WriteFile(path, []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o600); err != nil {
					e.log.Warn("slurm: others may take this client for dead", "err", err)
				}
			case <-e.ctx.Done():
				return
			}
		}
	}()
	return nil
}

// Client implements engine.Attender.
func (e *Engine) Client() string { return e.client }

// Alive implements engine.Attender.
func (e *Engine) Alive(client string) bool {
	if !engine.ValidID(client) {
		return false
	}
	info, err := os.Stat(filepath.Join(e.c.Dir, "clients", client))
	return err == nil && e.serverTime().Sub(info.ModTime()) < deadAfter
}

// sweep removes what nobody needs: files of clients that died long ago, and directories of jobs that were deleted, or whose
// clients died while they made them. What it did not make itself it leaves alone: the directory may be anybody's.
func (e *Engine) sweep() {
	now := e.serverTime()
	e.old("clients", now.Add(-100*deadAfter), func(path string, info fs.FileInfo) {
		if info.Mode().IsRegular() {
			os.Remove(path)
		}
	})
	e.old("runs", now.Add(-sweepAfter), func(path string, info fs.FileInfo) {
		id := info.Name()[:strings.LastIndexByte(info.Name(), '-')]
		if d, err := e.openJob(id); !errors.Is(err, engine.ErrNotExist) && (err != nil || d.Dir == info.Name()) {
			return
		}
		if _, err := os.Stat(filepath.Join(path, "claim")); err == nil {
			os.RemoveAll(path)
		} else {
			os.Remove(path) // if it is empty
		}
	})
}

// old yields what is in a part of the directory that was made here and not changed since a time.
func (e *Engine) old(part string, since time.Time, remove func(path string, info fs.FileInfo)) {
	names, _ := readNames(filepath.Join(e.c.Dir, part))
	for _, name := range names {
		path := filepath.Join(e.c.Dir, part, name)
		if info, err := os.Lstat(path); err == nil && randomEnd.MatchString(name) && info.ModTime().Before(since) {
			remove(path, info)
		}
	}
}

// randomEnd fits names that end in random, and nothing else, with luck.
var randomEnd = regexp.MustCompile(`^.+-[a-z2-7]{8}$`)

// random is such an end.
func random() string { return strings.ToLower(rand.Text()[:8]) }

// sweepAfter is how old the directory of a job without a record must be: it is made before the record.
const sweepAfter = time.Hour

// serverTime is the time of the server that has the directory.
func (e *Engine) serverTime() time.Time {
	tmp, err := os.CreateTemp(filepath.Join(e.c.Dir, "clients"), ".now-*")
	if err != nil {
		return time.Now()
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if info, err := tmp.Stat(); err == nil {
		return info.ModTime()
	}
	return time.Now()
}

func hostname() string {
	h, err := os.Hostname()
	if err != nil {
		return "client"
	}
	return h
}
