package node

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"mime"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrNotEmpty says that a directory has something in it and was to be removed without that.
var ErrNotEmpty = errors.New("the directory is not empty")

// A Tree is the files below a directory of a node: of the node's, or of a task's. Names are relative to it and have slashes;
// they come from clients: one that leads out, or through a link that does, is as one that does not exist.
type Tree struct{ root *os.Root }

// A File is one in a Tree, or a directory.
type File struct {
	Name        string
	Dir         bool
	Size        int64
	Modified    time.Time
	Mode        fs.FileMode // as on Linux: see UnixMode
	ContentType string
}

// UnixMode is the mode in octal as the service shows it: 0o100644.
func (f File) UnixMode() string {
	m := uint32(f.Mode.Perm())
	switch {
	case f.Dir:
		m |= syscall.S_IFDIR
	case f.Mode.IsRegular():
		m |= syscall.S_IFREG
	}
	return fmt.Sprintf("0o%o", m)
}

// Files are those of the node. Close the Tree after use.
func (n *Node) Files() (*Tree, error) {
	root, err := n.tree.OpenRoot(".")
	return &Tree{root}, err
}

// TaskFiles are those of a task, also of one that runs. Close the Tree after use.
func (n *Node) TaskFiles(job, task string) (*Tree, error) {
	if !component(job) || !component(task) {
		return nil, fmt.Errorf("node: files of task %q of job %q: %w", task, job, fs.ErrNotExist)
	}
	root, err := n.tree.OpenRoot(taskDir(job, task))
	if err != nil {
		return nil, fmt.Errorf("node: files of a task: %w", err)
	}
	return &Tree{root}, nil
}

// Close ends the use of the Tree.
func (t *Tree) Close() error { return t.root.Close() }

// name makes a client's name one for the root.
func (t *Tree) name(op, name string) (string, error) {
	clean := path.Clean(strings.Trim(name, "/"))
	if clean != "." && !local(clean) {
		return "", &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return clean, nil
}

// found makes an error that says too much, that there is something outside, one that says that nothing was found.
func found(op, name string, err error) error {
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &fs.PathError{Op: op, Path: name, Err: fmt.Errorf("%w (%v)", fs.ErrNotExist, err)}
}

// List yields the files of a directory, "" for the Tree's own, and with recursive all below it, directories before what is in
// them, in the order of their names. What goes away meanwhile is left out, as are links that lead out; others are listed as
// what they lead to, but not looked into.
func (t *Tree) List(dir string, recursive bool) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		name, err := t.name("list", dir)
		if err == nil {
			_, err = t.list(name, recursive, func(f File) bool { return yield(f, nil) })
		}
		if err != nil {
			yield(File{}, err)
		}
	}
}

func (t *Tree) list(dir string, recursive bool, yield func(File) bool) (more bool, err error) {
	entries, err := fs.ReadDir(t.root.FS(), dir)
	if err != nil {
		return true, found("list", dir, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		st, err := t.root.Stat(name)
		if err != nil {
			continue
		}
		if !yield(file(name, st)) {
			return false, nil
		}
		if recursive && e.IsDir() {
			if more, err := t.list(name, true, yield); !more || err != nil && !errors.Is(err, fs.ErrNotExist) {
				return more, err
			}
		}
	}
	return true, nil
}

func file(name string, st fs.FileInfo) File {
	f := File{Name: name, Dir: st.IsDir(), Modified: st.ModTime(), Mode: st.Mode()}
	if !f.Dir {
		f.Size, f.ContentType = st.Size(), contentType(name)
	}
	return f
}

// contentType goes by the name only, as the service's seems to: text/plain for stdout.txt.
func contentType(name string) string {
	if path.Ext(name) == ".txt" {
		return "text/plain"
	}
	if t, _, err := mime.ParseMediaType(mime.TypeByExtension(path.Ext(name))); err == nil {
		return t
	}
	return "application/octet-stream"
}

// Stat looks at a file or directory.
func (t *Tree) Stat(name string) (File, error) {
	clean, err := t.name("stat", name)
	if err != nil {
		return File{}, err
	}
	st, err := t.root.Stat(clean)
	if err != nil {
		return File{}, found("stat", name, err)
	}
	return file(clean, st), nil
}

// Open opens a file to be read. Of a directory it gives no file.
func (t *Tree) Open(name string) (*os.File, File, error) {
	clean, err := t.name("open", name)
	if err != nil {
		return nil, File{}, err
	}
	f, err := t.root.OpenFile(clean, os.O_RDONLY|nonBlocking, 0) // a pipe does not make us wait
	if err != nil {
		return nil, File{}, found("open", name, err)
	}
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		f.Close()
		if err == nil && st.IsDir() {
			return nil, file(clean, st), nil
		}
		return nil, File{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return f, file(clean, st), nil
}

// Remove removes a file, a link, or a directory, with what is in it only if that is wanted: else the error is ErrNotEmpty.
func (t *Tree) Remove(name string, recursive bool) error {
	clean, err := t.name("remove", name)
	if err != nil || clean == "." {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if _, err := t.root.Lstat(clean); err != nil {
		return found("remove", name, err)
	}
	if recursive {
		return clear(t.root, clean)
	}
	err = t.root.Remove(clean)
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EEXIST) {
		return &fs.PathError{Op: "remove", Path: name, Err: ErrNotEmpty}
	}
	return err
}
