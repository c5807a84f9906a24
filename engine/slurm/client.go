package slurm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	e.client = fmt.Sprintf("%s-%d-%s", host, os.Getpid(), strings.ToLower(rand.Text()[:8]))
	path := filepath.Join(e.c.Dir, "clients", e.client)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	e.wg.Go(func() {
		e.sweepClients()
		e.sweepRuns()
	})
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

// sweepClients removes the files of clients that died long ago.
func (e *Engine) sweepClients() {
	names, err := readNames(filepath.Join(e.c.Dir, "clients"))
	if err != nil || len(names) < 2 {
		return
	}
	now := e.serverTime()
	for _, name := range names {
		path := filepath.Join(e.c.Dir, "clients", name)
		if info, err := os.Stat(path); err == nil && now.Sub(info.ModTime()) > 100*deadAfter {
			os.Remove(path)
		}
	}
}

// sweepRuns removes what is left of deleted jobs, or of clients that died while they made one.
func (e *Engine) sweepRuns() {
	names, err := readNames(filepath.Join(e.c.Dir, "runs"))
	if err != nil || len(names) == 0 {
		return
	}
	now := e.serverTime()
	for _, name := range names {
		path := filepath.Join(e.c.Dir, "runs", name)
		info, err := os.Stat(path)
		i := strings.LastIndexByte(name, '-')
		if err != nil || i < 0 || now.Sub(info.ModTime()) < sweepAfter {
			continue
		}
		d, err := e.openJob(name[:i])
		if errors.Is(err, engine.ErrNotExist) || err == nil && d.Dir != name {
			os.RemoveAll(path)
		}
	}
}

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
