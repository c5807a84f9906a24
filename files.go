package clusterless

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/cache"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/store"
)

// Include makes files and directories known to the session: every call of every job submitted later finds them, read
// only, in its working directory, under the last element of their path, directories with all that is in them.
// Executable bits are kept; links are followed. A file of the same content is stored once. What was included before
// under the same name is replaced.
func (s *Session) Include(ctx context.Context, paths ...string) error {
	if err := s.use(); err != nil {
		return fmt.Errorf("clusterless: include: %w", err)
	}
	defer s.busy.Done()
	for _, p := range paths {
		if err := s.include(ctx, p); err != nil {
			return fmt.Errorf("clusterless: include %s: %w", p, err)
		}
	}
	return nil
}

func (s *Session) include(ctx context.Context, p string) error {
	abs, err := filepath.Abs(p)
	if err != nil {
		return err
	}
	base := filepath.Base(abs)
	if base == string(filepath.Separator) {
		return errors.New("not the whole file system")
	}
	var found []plan.Include
	var walk func(file, name string, depth int) error
	walk = func(file, name string, depth int) error {
		if depth > 64 {
			return errors.New("directories too deep: is there a link to a directory above it?")
		}
		st, err := os.Stat(file)
		if err != nil {
			return err
		}
		if !utf8.ValidString(name) { // the manifest is JSON
			return fmt.Errorf("the name %q is not UTF-8: rename it", name)
		}
		if !st.IsDir() {
			if !st.Mode().IsRegular() {
				return fmt.Errorf("%s is neither a file nor a directory", file)
			}
			sha, size, err := s.putFile(ctx, file)
			found = append(found, plan.Include{Path: name, SHA: sha, Size: size, Exec: st.Mode()&0o111 != 0})
			return err
		}
		entries, err := os.ReadDir(file)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := walk(filepath.Join(file, e.Name()), path.Join(name, e.Name()), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(abs, base, 0); err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("there are no files in it")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.includes = slices.DeleteFunc(s.includes, func(f plan.Include) bool { return f.Path == base || strings.HasPrefix(f.Path, base+"/") })
	s.includes = append(s.includes, found...)
	return nil
}

// putFile stores a file under its hash.
func (s *Session) putFile(ctx context.Context, file string) (sha string, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, err
	}
	sha = hex.EncodeToString(h.Sum(nil))
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", 0, err
	}
	check := sha256.New()
	src := store.Source(func(w io.Writer) error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		check.Reset()
		if _, err := io.Copy(w, io.TeeReader(f, check)); err != nil {
			return err
		}
		if hex.EncodeToString(check.Sum(nil)) != sha {
			return errors.New("the file changed while it was read")
		}
		return nil
	})
	return sha, size, s.putValue(ctx, sha, src)
}

// putValue stores a blob under its hash, unless it is there.
func (s *Session) putValue(ctx context.Context, sha string, src io.Reader) error {
	key := plan.ValueKey(sha)
	for info, err := range s.store.List(ctx, key) {
		if err != nil {
			return err
		}
		if info.Key == key {
			return nil
		}
		break
	}
	if err := s.store.Put(ctx, key, src); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// broadcast stores a value under the hash of its encoding.
func (s *Session) broadcast(ctx context.Context, ptr any) (plan.Ref, error) {
	if err := s.use(); err != nil {
		return plan.Ref{}, err
	}
	defer s.busy.Done()
	h := sha256.New()
	enc := &codec.Encoder{Checksum: true, OnMarshal: func(ptr any) error {
		r, ok := ptr.(referrer)
		if !ok || r.reference().SHA != "" || r.reference() == (plan.Ref{}) {
			return nil
		}
		d := r.reference().Dep
		t, err := s.tracker(ctx, d.Job)
		if err == nil {
			_, err = t.Settled(ctx, d.Call, false)
		}
		if err != nil {
			return fmt.Errorf("it holds a Ref to the result of call %d of job %s, on which tasks would not wait (put that Ref into their inputs): %w", d.Call, d.Job, err)
		}
		return nil
	}}
	var ref plan.Ref
	encode := func(w io.Writer) (err error) {
		h.Reset()
		ref.Size, err = enc.Encode(hashing{w, h}, ptr)
		ref.SHA = hex.EncodeToString(h.Sum(nil))
		return err
	}
	err := store.PutNamed(ctx, s.store, store.Source(encode), func() string { return plan.ValueKey(ref.SHA) })
	switch {
	case err == nil:
		s.markSeen(ctx, ref)
	case errors.Is(err, fs.ErrExist):
	default:
		// The store wants to know the name first, or has no room for a second copy.
		if err := encode(io.Discard); err != nil {
			return plan.Ref{}, fmt.Errorf("%w: %w", ErrCannotTravel, err)
		}
		if err := s.putValue(ctx, ref.SHA, store.Source(encode)); err != nil {
			return plan.Ref{}, err
		}
	}
	s.hold(ref)
	return ref, nil
}

// hashing hashes what it writes, large pieces at the same time as they are written.
type hashing struct {
	w io.Writer
	h hash.Hash
}

func (t hashing) Write(b []byte) (int, error) {
	if len(b) < 256<<10 {
		t.h.Write(b)
		return t.w.Write(b)
	}
	hashed := make(chan struct{})
	go func() { t.h.Write(b); close(hashed) }()
	n, err := t.w.Write(b)
	<-hashed
	return n, err
}

// markSeen tells the cache of this node, where its workers are, that a value in the store was hashed while it was
// written, so that they need not read it to know.
func (s *Session) markSeen(ctx context.Context, ref plan.Ref) {
	if s.scheme != "local" {
		return
	}
	if c, err := cache.Open(filepath.Join(s.dir, "engine", "cache")); err == nil {
		c.Seen(ctx, s.store, plan.ValueKey(ref.SHA), ref.SHA, ref.Size)
	}
}

// value reads a broadcast value on the client.
func (s *Session) value(ctx context.Context, ref plan.Ref, ptr any) error {
	key := plan.ValueKey(ref.SHA)
	r, err := s.store.Get(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it is no longer in the store: broadcast it again: %w", err)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	err = s.decoder().Decode(r, ptr)
	if errors.Is(err, codec.ErrCorrupt) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("%s: %w: %w", key, ErrDamaged, err)
	}
	return err
}
