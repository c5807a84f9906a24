package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// A place is a directory in which files are made for a user. Whatever tasks put there, nothing outside of it is touched.
type place struct {
	root     *os.Root
	uid, gid int // -1: files keep the emulator's own user
}

// open is a directory below, as a place of its own.
func (p place) open(name string) (place, error) {
	root, err := p.root.OpenRoot(name)
	return place{root, p.uid, p.gid}, err
}

// mkdir makes a directory, or gives one that is there its mode and user again. Anything else of this name is removed.
func (p place) mkdir(name string, mode fs.FileMode) error {
	err := p.root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		var st fs.FileInfo
		if st, err = p.root.Lstat(name); err == nil && !st.IsDir() {
			if err = p.root.Remove(name); err == nil {
				err = p.root.Mkdir(name, 0o700)
			}
		}
	}
	if err != nil {
		return err
	}
	return p.own(name, mode)
}

// own gives a file, not the target of a link, to the place's user.
func (p place) own(name string, mode fs.FileMode) error {
	if p.uid >= 0 {
		if err := p.root.Lchown(name, p.uid, p.gid); err != nil {
			return err
		}
	}
	return p.root.Chmod(name, mode)
}

// parents makes the directories that a file is in, as far as they are missing.
func (p place) parents(name string, mode fs.FileMode) error {
	dir := path.Dir(name)
	if dir == "." {
		return nil
	}
	if st, err := p.root.Stat(dir); err == nil {
		if !st.IsDir() {
			return fmt.Errorf("%s is no directory", dir)
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := p.parents(dir, mode); err != nil {
		return err
	}
	if err := p.root.Mkdir(dir, 0o700); err != nil {
		return err
	}
	return p.own(dir, mode)
}

// create makes a file to be written, instead of whatever has its name. It is the user's.
func (p place) create(name string, mode fs.FileMode) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_APPEND | os.O_CREATE | os.O_EXCL
	f, err := p.root.OpenFile(name, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err = clear(p.root, name); err == nil {
			f, err = p.root.OpenFile(name, flags, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := p.own(name, mode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// local says whether a name with slashes stays in the directory that it is relative to.
func local(name string) bool {
	return name != "" && name != "." && filepath.IsLocal(filepath.FromSlash(name)) && !strings.ContainsRune(name, 0)
}

// component says whether a name can be that of a directory.
func component(name string) bool { return local(name) && !strings.Contains(name, "/") }

// clear removes what has a name, if anything, and all that is in it.
func clear(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	// A directory that its owner may not enter or change is one that he may change first.
	_ = fs.WalkDir(unlocked{root}, filepath.ToSlash(name), func(string, fs.DirEntry, error) error { return nil })
	return root.RemoveAll(name)
}

// unlocked is a file system that opens directories for their owner before it reads them.
type unlocked struct{ root *os.Root }

func (u unlocked) Open(name string) (fs.File, error) {
	if st, err := u.root.Lstat(name); err == nil && st.IsDir() {
		_ = u.root.Chmod(name, 0o700)
	}
	return u.root.FS().Open(name)
}

func (n *Node) clear(name string) error { return clear(n.tree, name) }
