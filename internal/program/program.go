// Package program finds the executable of this process, builds it for other platforms, names executables by their hash, and brings
// them into the store and back.
package program

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/klauspost/compress/gzip"

	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// Self is an executable of this program: that of this process, or one for another platform.
type Self struct {
	Platform Platform // that it is for
	path     string
	err      error
	hash     func() (string, error)
}

// Find finds the executable of this process, and begins to hash it in the background.
func Find() *Self {
	path, err := find()
	s := at(path, Here())
	s.err = err
	go s.hash()
	return s
}

// at is the executable in a file.
func at(path string, p Platform) *Self {
	s := &Self{Platform: p, path: path}
	s.hash = sync.OnceValues(func() (string, error) {
		if s.err != nil {
			return "", s.err
		}
		return sum(s.path)
	})
	return s
}

// Path is a path that starts the same executable on this machine, for as long as this process lives: also if the file
// was removed, as `go run` does, or replaced, as a build does.
func (s *Self) Path() string { return s.path }

// Hash is the hex SHA-256 of the executable.
func (s *Self) Hash() (string, error) {
	h, err := s.hash()
	if err != nil {
		return "", fmt.Errorf("executable of this program: %w", err)
	}
	return h, nil
}

// Install copies the executable into a directory, under its hash, and returns its path there. One that is there is used
// again, unless it was cut off.
func (s *Self) Install(dir string) (string, error) {
	hash, err := s.Hash()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, hash)
	mine, err := os.Stat(s.path)
	if err != nil {
		return "", fmt.Errorf("this program: %w", err)
	}
	if there, err := os.Stat(path); err == nil && there.Size() == mine.Size() {
		return path, nil
	}
	if err := s.install(dir, path); err != nil {
		return "", fmt.Errorf("bring this program to %s: %w", dir, err)
	}
	return path, nil
}

func (s *Self) install(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	from, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer from.Close()
	tmp, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, from)
	if err = errors.Join(err, tmp.Chmod(0o500), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func sum(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Store puts the executable into the store, compressed, unless it is there.
func (s *Self) Store(ctx context.Context, st store.Store) error {
	hash, err := s.Hash()
	if err != nil {
		return err
	}
	key := plan.ProgramKey(hash)
	for info, err := range st.List(ctx, key) {
		if err != nil {
			return err
		}
		if info.Key == key {
			return nil
		}
		break
	}
	src := store.Source(func(w io.Writer) error {
		f, err := os.Open(s.path)
		if err != nil {
			return err
		}
		defer f.Close()
		b := bufio.NewWriterSize(w, 1<<20)
		z, err := gzip.NewWriterLevel(b, gzip.BestSpeed) // which every machine can unpack: nodes have none of our code yet
		if err != nil {
			return err
		}
		if _, err := io.Copy(z, f); err != nil {
			return err
		}
		return errors.Join(z.Close(), b.Flush())
	})
	if err := st.Put(ctx, key, src); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store this program: %w", err)
	}
	return nil
}

// Fetch brings an executable from the store into a directory, and returns its path. One that is there is used again.
func Fetch(ctx context.Context, st store.Store, hash, dir string) (string, error) {
	path := filepath.Join(dir, hash)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	r, err := st.Get(ctx, plan.ProgramKey(hash))
	if err != nil {
		return "", fmt.Errorf("fetch program: %w", err)
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return "", fmt.Errorf("fetch program: %s: %w: %w", plan.ProgramKey(hash), plan.ErrDamaged, err)
	}
	defer z.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("fetch program: %w", err)
	}
	tmp, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return "", fmt.Errorf("fetch program: %w", err)
	}
	defer os.Remove(tmp.Name())
	h := sha256.New()
	if _, e := io.Copy(io.MultiWriter(writer{tmp, &err}, h), z); e != nil && err == nil {
		return "", fmt.Errorf("fetch program: %s: %w: %w", plan.ProgramKey(hash), plan.ErrDamaged, e)
	}
	if err = errors.Join(err, tmp.Chmod(0o500), tmp.Close()); err != nil {
		return "", fmt.Errorf("fetch program: %w", err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != hash {
		return "", fmt.Errorf("fetch program: %s has the hash %s: %w", plan.ProgramKey(hash), got, plan.ErrDamaged)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return "", fmt.Errorf("fetch program: %w", err)
	}
	return path, nil
}

// writer remembers its error, to tell it from one of what is read.
type writer struct {
	w   io.Writer
	err *error
}

func (w writer) Write(b []byte) (int, error) {
	n, err := w.w.Write(b)
	*w.err = err
	return n, err
}
