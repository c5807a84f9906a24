package clusterless

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/clusterless-go/clusterless/internal/plan"
)

// A File is one that a call returned.
type File struct {
	Name string // its path in the call's directory, with slashes
	Size int64  // bytes
	s    *Session
	key  string
	exec bool
}

func (j *AnyJob) files(in []plan.File) (out []File) {
	for _, f := range in {
		out = append(out, File{f.Name, f.Size, j.s, f.Key, f.Exec})
	}
	return out
}

// Open opens the file's content. The caller closes it.
func (f File) Open(ctx context.Context) (io.ReadCloser, error) {
	r, err := f.s.store.Get(ctx, f.key)
	if err != nil {
		return nil, fmt.Errorf("clusterless: returned file %s: %w", f.Name, err)
	}
	return r, nil
}

// Save writes the file below dir, under its name, and returns the path. Files that are there are replaced.
func (f File) Save(ctx context.Context, dir string) (path string, err error) {
	path = filepath.Join(dir, filepath.FromSlash(f.Name))
	if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
		return "", fmt.Errorf("clusterless: returned file %q would be outside of %s", f.Name, dir)
	}
	r, err := f.Open(ctx)
	if err != nil {
		return "", err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", err
	}
	mode := fs.FileMode(0o666)
	if f.exec {
		mode = 0o777
	}
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Close()); err != nil {
		return "", fmt.Errorf("clusterless: save returned file %s: %w", f.Name, err)
	}
	return path, nil
}
