package node

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

// install unpacks the packages of the pool and of a task, as far as they are not there, and gives the variables that say
// where. The error is a *Failure, or that of the context.
func (n *Node) install(ctx context.Context, packages []Package) ([]Variable, error) {
	n.installing.Lock()
	defer n.installing.Unlock()
	var vars []Variable
	for _, all := range [][]Package{n.c.Packages, packages} {
		for _, p := range all {
			dir, err := n.unpack(ctx, p)
			if err != nil {
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				return nil, failFile(ApplicationPackageError, err, Variable{"ApplicationId", p.Application}, Variable{"Version", p.Version})
			}
			seen := path.Join(n.RootDir(), "applications", dir)
			if p.Default {
				vars = append(vars, Variable{"AZ_BATCH_APP_PACKAGE_" + flat(p.Application), seen})
			}
			vars = append(vars, Variable{"AZ_BATCH_APP_PACKAGE_" + flat(p.Application) + "_" + flat(p.Version), seen})
		}
	}
	return vars, nil
}

// unpack makes the directory of a package: all of it or nothing. Its name has the time of the package, as on Azure's nodes,
// so that another file of the same version gets another directory.
func (n *Node) unpack(ctx context.Context, p Package) (string, error) {
	if p.Zip == "" {
		return "", errors.New("the account has no such package")
	}
	st, err := os.Stat(p.Zip)
	if err != nil {
		return "", err
	}
	name := p.Application + p.Version + st.ModTime().UTC().Format("2006-01-02-15-04-05.000000000")
	if !component(name) {
		return "", fmt.Errorf("%q is not the name of a directory", name)
	}
	apps := place{root: n.tree, uid: -1}
	dir, err := apps.open("applications")
	if err != nil {
		return "", err
	}
	defer dir.root.Close()
	if st, err := dir.root.Lstat(name); err == nil && st.IsDir() {
		return name, nil
	}
	part := "." + name
	if err := clear(dir.root, part); err != nil {
		return "", err
	}
	err = dir.mkdir(part, 0o755)
	if err == nil {
		err = dir.unzip(ctx, p.Zip, part)
	}
	if err == nil {
		err = dir.root.Rename(part, name)
	}
	if err != nil {
		_ = clear(dir.root, part)
		return "", err
	}
	return name, nil
}

// unzip unpacks a file into a directory of the place.
func (p place) unzip(ctx context.Context, file, dir string) error {
	to, err := p.open(dir)
	if err != nil {
		return err
	}
	defer to.root.Close()
	z, err := zip.OpenReader(file)
	if err != nil {
		return fmt.Errorf("read the package: %w", err)
	}
	defer z.Close()
	for _, f := range z.File {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		name := strings.ReplaceAll(f.Name, `\`, "/") // as Windows tools write them
		if !local(strings.TrimSuffix(name, "/")) {
			return fmt.Errorf("the package has a file %q, which leads out of its directory", f.Name)
		}
		if err := to.extract(f, path.Clean(name)); err != nil {
			return fmt.Errorf("unpack %s: %w", f.Name, err)
		}
	}
	return nil
}

func (p place) extract(f *zip.File, name string) error {
	mode := f.Mode()
	if mode.IsDir() {
		return p.parents(name+"/.", 0o755)
	}
	if err := p.parents(name, 0o755); err != nil {
		return err
	}
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	if mode&fs.ModeSymlink != 0 {
		target, err := io.ReadAll(io.LimitReader(from, 4096))
		if err != nil {
			return err
		}
		return p.root.Symlink(string(target), name)
	}
	if mode.Perm() == 0 || f.CreatorVersion>>8 != 3 { // not made on Unix: no modes
		mode = 0o755
	}
	to, err := p.create(name, mode.Perm()|0o444)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	return to.Close()
}
