package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/cache"
	"github.com/clusterless-go/clusterless/internal/plan"
	"github.com/clusterless-go/clusterless/internal/team"
	"github.com/clusterless-go/clusterless/store"
)

// A Call is what user code can learn of the call it is in, and get through it.
type Call struct {
	w       *Worker
	Job     string
	Func    string
	Call    int
	Task    int
	Attempt int // of the task
	Try     int // of the call in this attempt
	Node    string
	shape   plan.Shape
	cores   int
	role    string     // of this process, if it is not the task's worker
	keep    *team.Keep // of the process, in a rank
	own     team.Keep
	Dir     string // the call's directory, if the job includes or returns files; else the worker's scratch directory
}

// mapFrom is the size from which a broadcast value is mapped instead of read.
const mapFrom = 256 << 10

// Load reads what ref names into ptr. Large numeric parts of broadcast values alias a private mapping of the node's
// copy, which is put back to what it was when the call ends.
func (c *Call) Load(ctx context.Context, ref plan.Ref, ptr any) error {
	if ref.SHA == "" {
		return c.w.result(ctx, ref.Dep, ptr, false)
	}
	key := plan.ValueKey(ref.SHA)
	path, err := c.w.cache.File(ctx, c.w.store, key, ref.SHA, ref.Size)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("broadcast value %.12s is no longer in the store: broadcast it again: %w", ref.SHA, err)
	}
	if err != nil {
		return err
	}
	d := &codec.Decoder{}
	if ref.Size < mapFrom || !canReset {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return d.DecodeBytes(b, ptr)
	}
	b, err := c.w.maps.take(ref.SHA, path)
	if err != nil {
		return err
	}
	return d.Map(b, ptr)
}

// result reads the result of a call that ended well. If it is only lent, a large one aliases a mapping of the store's file,
// where it has files, until maps.release.
func (w *Worker) result(ctx context.Context, dep plan.Dep, ptr any, lend bool) error {
	j, err := w.peek(ctx, dep.Job)
	if err != nil {
		return fmt.Errorf("result of call %d of job %s: %w", dep.Call, dep.Job, err)
	}
	c, e, err := j.Find(ctx, dep.Call)
	if err != nil {
		return err
	}
	defer c.Release()
	if size := c.Pack.Entries[e].Len; lend && size >= mapFrom && !j.Manifest.FlatOut {
		path, ok, err := store.File(ctx, w.store, plan.OutKey(dep.Job, c.Task, c.Seq))
		if err != nil {
			return err
		}
		if ok {
			b, err := w.maps.lend(path)
			if err != nil {
				return err
			}
			off := c.Pack.Entries[e].Off
			if b = b[off : off+size]; codec.Verify(b) == nil {
				return (&codec.Decoder{}).Map(b, ptr)
			} // else Decode says what is wrong
		}
	}
	return Read(c.Pack.Pack, e, dep.Call, j.Manifest.FlatOut, ptr, &codec.Decoder{})
}

// Read decodes the result of one call from an entry of a commit.
func Read(p *plan.Pack, entry, call int, flat bool, ptr any, d *codec.Decoder) error {
	o, err := plan.ParseOutcome(p.Entries[entry].Meta)
	if err != nil {
		return err
	}
	if o.Status != plan.OK {
		return fmt.Errorf("call %d did not end well (%v)", call, o.Status)
	}
	return One(p, entry, call, flat, ptr, d)
}

// One decodes what one call got or returned from an entry of a pack, whose message is that or, if it is flat, a slice of it.
func One(p *plan.Pack, entry, call int, flat bool, ptr any, d *codec.Decoder) error {
	decode := Message(p, entry, d)
	if !flat {
		return decode(ptr)
	}
	return decodeFlat(decode, call-p.Entries[entry].First, ptr)
}

// Message returns what decodes the message of an entry.
func Message(p *plan.Pack, entry int, d *codec.Decoder) func(ptr any) error {
	r, mem := p.Message(entry)
	if mem != nil {
		return func(ptr any) error { return d.DecodeBytes(mem, ptr) }
	}
	return func(ptr any) error { return d.Decode(r, ptr) }
}

// gather makes the input of a reduction from the references that stand for it.
func (t *task) gather(ctx context.Context, r io.Reader) (any, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var refs []plan.Ref
	if err := json.Unmarshal(b, &refs); err != nil {
		return nil, fmt.Errorf("input of a reduction: %w: %w", plan.ErrDamaged, err)
	}
	return t.job.fn.Gather(len(refs), func(i int, ptr any) error { return t.w.result(ctx, refs[i].Dep, ptr, true) })
}

// maps holds the mappings of broadcast values. A mapping is never undone, since user code may hold on to a slice of
// it, but it is used again: by the next call, after what this one wrote to it was dropped. It also holds what is lent to one
// call only, the inputs of a reduction.
type maps struct {
	mu    sync.Mutex
	all   map[string][][]byte
	used  map[string]int
	lent  [][]byte
	n     int
	bytes int64
}

// maxMaps mappings make a worker retire: Linux allows 65,530 to a process. So do maxMapped bytes, since a mapping holds
// the disk space of a value that was deleted.
const (
	maxMaps   = 4096
	maxMapped = 8 << 30
)

func (m *maps) take(sha, path string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all, m.used = map[string][][]byte{}, map[string]int{}
	}
	k := m.used[sha]
	if k == len(m.all[sha]) {
		b, err := cache.Map(path)
		if err != nil {
			return nil, err
		}
		m.all[sha] = append(m.all[sha], b)
		m.n++
		m.bytes += int64(len(b))
	}
	m.used[sha] = k + 1
	return m.all[sha][k], nil
}

func (m *maps) lend(path string) ([]byte, error) {
	b, err := cache.Map(path)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lent = append(m.lent, b)
	return b, nil
}

// release ends the use of all mappings by a call. If something of it may go on, or a mapping cannot be put back to what it was, no
// other call gets it.
func (m *maps) release(goesOn bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.lent {
		if goesOn {
			m.n++
			m.bytes += int64(len(b))
		} else {
			cache.Unmap(b)
		}
	}
	m.lent = nil
	for sha, n := range m.used {
		again := slices.DeleteFunc(m.all[sha][:n:n], func(b []byte) bool { return goesOn || cache.Reset(b) != nil })
		m.all[sha] = append(again, m.all[sha][n:]...)
		delete(m.used, sha)
	}
}

func (m *maps) full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.n > maxMaps || m.bytes > maxMapped
}

// tailSize is how much of a call's output goes into its error.
const tailSize = 4 << 10

// logSize is the present size of the file that stderr goes to, -1 if it is no file.
func logSize() int64 {
	st, err := os.Stderr.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return -1
	}
	return st.Size()
}

// logTail is the end of what was written to it since it had that size.
func logTail(start int64) string {
	end := logSize()
	if start < 0 || end <= start {
		return ""
	}
	f, err := os.Open(stderrPath)
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, min(end-start, tailSize))
	n, _ := f.ReadAt(b, end-int64(len(b)))
	s := string(b[:n])
	if int64(len(b)) < end-start {
		if _, after, ok := strings.Cut(s, "\n"); ok {
			s = after
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// decodeFlat decodes a message that is a slice and puts its i-th element into ptr.
func decodeFlat(decode func(any) error, i int, ptr any) error {
	elem := reflect.ValueOf(ptr).Elem()
	s := reflect.New(reflect.SliceOf(elem.Type()))
	if err := decode(s.Interface()); err != nil {
		return err
	}
	if i < 0 || i >= s.Elem().Len() {
		return fmt.Errorf("message of %d values has none at %d: %w", s.Elem().Len(), i, plan.ErrDamaged)
	}
	elem.Set(s.Elem().Index(i))
	return nil
}
