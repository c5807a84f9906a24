package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/clusterless-go/clusterless/internal/plan"
)

// enter goes to the call's directory. If the job has to do with files it is a new one with the included files, else the
// worker's own, wherever the call before has gone. It sets t.leave, which takes the files to return, and goes back.
func (t *task) enter(ctx context.Context, c *Call) error {
	t.leave, t.files = func(bool) error { return nil }, nil
	c.Dir = t.w.scratch
	setUmask(t.w.umask) // whatever the call before made of it
	m := t.manifest()
	if len(m.Includes) == 0 && len(m.Return) == 0 {
		if t.still { // to go there takes longer than the whole of the call before
			return nil
		}
		err := os.Chdir(t.w.scratch)
		if errors.Is(err, fs.ErrNotExist) { // a call removed it
			if err = os.MkdirAll(t.w.scratch, 0o700); err == nil {
				err = os.Chdir(t.w.scratch)
			}
		}
		return err
	}
	dir := filepath.Join(t.w.scratch, m.Job, strconv.Itoa(t.no), strconv.Itoa(c.Call))
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("directory of the call: %w", err)
	}
	if err := t.layOut(ctx, dir); err != nil {
		return &unfit{plan.Blocked, err}
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	c.Dir = dir
	t.leave = func(ok bool) error {
		defer func() {
			os.Chdir(t.w.scratch)
			os.RemoveAll(dir)
		}()
		err := t.checkTree()
		if len(m.Return) > 0 && (ok || m.ReturnFailed) {
			err = errors.Join(err, t.collect(ctx, c, ok && err == nil))
		}
		return err
	}
	return nil
}

// A call may do what it likes in its directory, and no other call sees it. Included files up to shareFrom bytes are
// copies of its own; larger ones are links into a tree that the calls of the node share, whose files are read only.
// Root can write to them all the same; so their time is set to treeTime, which a write changes, and is looked at after
// each call.
const shareFrom = 256 << 10

var treeTime = time.Unix(1_000_000_000, 0)

// layOut puts the included files into a call's directory.
func (t *task) layOut(ctx context.Context, dir string) error {
	tree, err := t.includes(ctx)
	if err != nil {
		return err
	}
	for _, f := range t.manifest().Includes {
		from, to := filepath.Join(tree, filepath.FromSlash(f.Path)), filepath.Join(dir, filepath.FromSlash(f.Path))
		err := os.MkdirAll(filepath.Dir(to), 0o700)
		switch {
		case err != nil:
		case f.Size > shareFrom:
			err = os.Symlink(from, to)
		default:
			if err = copyFile(from, to, 0o200|treeMode(f)); err == nil {
				err = os.Chtimes(to, treeTime, treeTime) // tells collect that the call did not write it
			}
		}
		if err != nil {
			return fmt.Errorf("included file %s: %w", f.Path, err)
		}
	}
	return nil
}

func treeMode(f plan.Include) fs.FileMode {
	if f.Exec {
		return 0o555
	}
	return 0o444
}

// checkTree finds out whether a call wrote through a link into the shared tree, and gives the tree up if so.
func (t *task) checkTree() error {
	for _, f := range t.manifest().Includes {
		if f.Size <= shareFrom || t.job.includes == "" {
			continue
		}
		st, err := os.Lstat(filepath.Join(t.job.includes, filepath.FromSlash(f.Path)))
		if err == nil && st.Size() == f.Size && st.ModTime().Equal(treeTime) {
			continue
		}
		os.RemoveAll(t.job.includes)
		t.job.includes = ""
		return fmt.Errorf("included file %s was written to or removed, here or by another call: calls share it; copy it before changing it", f.Path)
	}
	return nil
}

// includes returns the node's directory with the files that the job includes, which all calls of all jobs with the
// same files share.
func (t *task) includes(ctx context.Context) (string, error) {
	m := t.manifest()
	if len(m.Includes) == 0 || t.job.includes != "" {
		return t.job.includes, nil
	}
	list, err := json.Marshal(m.Includes)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(list)
	root := filepath.Join(t.w.cache.Dir(), "trees")
	dir := filepath.Join(root, hex.EncodeToString(sum[:]))
	if _, err := os.Stat(dir); err == nil {
		t.job.includes = dir
		if t.checkTree() == nil {
			return dir, nil
		}
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", fmt.Errorf("included files: %w", err)
	}
	tmp, err := os.MkdirTemp(root, "new-*")
	if err != nil {
		return "", fmt.Errorf("included files: %w", err)
	}
	defer os.RemoveAll(tmp)
	for _, f := range m.Includes {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return "", fmt.Errorf("included file %q would be outside of the call's directory", f.Path)
		}
		if err := t.include(ctx, tmp, f); err != nil {
			return "", fmt.Errorf("included file %s: %w", f.Path, err)
		}
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, e := os.Stat(dir); e != nil { // nobody else made it either
			return "", fmt.Errorf("included files: %w", err)
		}
	}
	t.job.includes = dir
	return dir, nil
}

func (t *task) include(ctx context.Context, root string, f plan.Include) error {
	src, err := t.w.cache.File(ctx, t.w.store, plan.ValueKey(f.SHA), f.SHA, f.Size)
	if err != nil {
		return err
	}
	dst := filepath.Join(root, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(dst), 0o700); err != nil {
		return err
	}
	if err := copyFile(src, dst, treeMode(f)); err != nil {
		return err
	}
	return os.Chtimes(dst, treeTime, treeTime)
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// kind names what is no plain file.
func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory (return what is in it: \"name/**\")"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link (copy what it points to)"
	}
	return "a special file"
}

// collect stores the files that the call returns. A plain name that is not there is an error of a call that ended
// well.
func (t *task) collect(ctx context.Context, c *Call, ok bool) error {
	m := t.manifest()
	root := os.DirFS(c.Dir)
	var names []string
	for _, pat := range m.Return {
		found, err := doublestar.Glob(root, pat, doublestar.WithFilesOnly(), doublestar.WithNoFollow())
		if err != nil {
			return &unfit{plan.Errored, fmt.Errorf("pattern %q of files to return: %w", pat, err)}
		}
		if st, e := os.Lstat(filepath.Join(c.Dir, filepath.FromSlash(pat))); e == nil && !st.Mode().IsRegular() && ok && !strings.ContainsAny(pat, `*?[{\`) {
			return fmt.Errorf("%q, which the call was to return, is no file but %s", pat, kind(st.Mode()))
		}
		if len(found) == 0 && ok && !strings.ContainsAny(pat, `*?[{\`) {
			return fmt.Errorf("the call wrote no file %q, which it was to return", pat)
		}
		names = append(names, found...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		path := filepath.Join(c.Dir, filepath.FromSlash(name))
		st, err := os.Lstat(path)
		if err != nil {
			return fmt.Errorf("file %s to return: %w", name, err)
		}
		if !st.Mode().IsRegular() || st.ModTime().Equal(treeTime) { // a link, a socket, …; an included file as it was
			continue
		}
		key := plan.FileKey(m.Job, t.no, t.attempt, c.Call, c.Try*10000+len(t.files))
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("file %s to return: %w", name, err)
		}
		err = t.w.store.Put(ctx, key, f)
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("file %s to return: %w", name, err)
		}
		t.files = append(t.files, plan.File{Name: name, Size: st.Size(), Exec: st.Mode()&0o111 != 0, Key: key})
	}
	return nil
}
