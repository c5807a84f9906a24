package filestore

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/clusterless-go/clusterless/store"
)

// List yields the blobs with the prefix in key order. It holds the directories from the root to the blob at hand, with
// their names, no more.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		dir, base := s.root, ""
		if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
			if store.CheckKey(prefix[:i]) != nil {
				return // no key begins like that
			}
			dir, base = s.pathFor(prefix[:i])+",", prefix[:i+1]
		}
		w := walk{ctx: ctx, prefix: prefix, yield: yield}
		err := w.dir(dir, base)
		if err == nil && w.missing {
			err = s.missing(fs.ErrNotExist)
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
		}
		if err != nil && err != errStop {
			yield(store.Info{}, s.fail("list", prefix, err))
		}
	}
}

// walk is one run of a List.
type walk struct {
	ctx     context.Context
	prefix  string
	yield   func(store.Info, error) bool
	missing bool // a directory was not there
}

var errStop = errors.New("stop")

// item is a blob or a directory of blobs. Its order is that of the keys: a directory sorts as its keys do, with the
// slash.
type item struct {
	name  string // of a directory: with the slash instead of the comma
	entry fs.DirEntry
}

// dir yields what is in and below a directory, whose keys begin with base.
func (w *walk) dir(path, base string) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	d, err := os.Open(path)
	var items []item
	if err == nil {
		defer d.Close()
		items, err = w.read(d, base)
	}
	if errors.Is(err, fs.ErrNotExist) { // also while it is read: removed meanwhile
		w.missing = true
		return nil
	}
	if err != nil {
		return err
	}
	for i, it := range items {
		key := base + it.name
		if it.entry.IsDir() {
			if err := w.dir(filepath.Join(path, it.entry.Name()), key); err != nil {
				return err
			}
			continue
		}
		size, modified, err := stat(d, it.entry)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		if !w.yield(store.Info{Key: key, Size: size, Created: modified}, nil) {
			return errStop
		}
		if i%64 == 63 {
			if err := w.ctx.Err(); err != nil {
				return err
			}
		}
	}
	return nil
}

// read returns what of a directory can hold keys with the prefix, in key order.
func (w *walk) read(d *os.File, base string) ([]item, error) {
	entries, err := d.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	items := make([]item, 0, len(entries))
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir():
			stem, ok := strings.CutSuffix(name, ",")
			if !ok || store.CheckKey(stem) != nil {
				continue
			}
			name = stem + "/"
			if key := base + name; !strings.HasPrefix(key, w.prefix) && !strings.HasPrefix(w.prefix, key) {
				continue
			}
		case e.Type().IsRegular():
			if store.CheckKey(name) != nil || !strings.HasPrefix(base+name, w.prefix) {
				continue
			}
		default:
			continue
		}
		items = append(items, item{name, e})
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.name, b.name) })
	return items, nil
}
