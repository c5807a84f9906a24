package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
)

// Buckets of the database. Values are JSON. The key of what belongs to something else begins with that one's key and a zero.
const (
	metaBucket     = "meta"
	poolBucket     = "pools"
	nodeBucket     = "nodes"
	jobBucket      = "jobs"
	prepBucket     = "preparations"
	specBucket     = "specifications" // of tasks
	taskBucket     = "tasks"
	scheduleBucket = "schedules"
	certBucket     = "certificates"
	appBucket      = "applications"
	usageBucket    = "usage"
)

var buckets = []string{metaBucket, poolBucket, nodeBucket, jobBucket, prepBucket, specBucket, taskBucket,
	scheduleBucket, certBucket, appBucket, usageBucket}

// saveInterval is how long a change waits that no request waits for.
const saveInterval = 200 * time.Millisecond

// A disk keeps the state in a database. Changes are noted under the service's mutex and written in the background, those of
// many requests in one transaction; each request waits for its own. A process that is killed loses nothing that was
// answered; the machine may lose the last seconds, since files are not synced. The nil disk keeps nothing.
type disk struct {
	db   *bbolt.DB
	log  *slog.Logger
	want chan struct{} // a request waits

	// Under the service's mutex:
	dirty map[place]any // nil: to be removed
	tasks map[*task]bool
	next  *batch
}

// A place is where something is kept.
type place struct{ bucket, key string }

// A batch is a transaction to come.
type batch struct {
	disk *disk
	done chan struct{}
	err  error
}

// verify reads all of a database that is there, so that one that is damaged, as by a failure of power, is an error and no crash
// later.
func verify(file string) (err error) {
	if st, err := os.Stat(file); err != nil || st.Size() == 0 {
		return nil // a new one
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("emulator: the state %s is damaged, as by a failure of power: begin anew without this file, or in another directory (%v)", file, p)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // the file is mapped, and may be too short
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return fmt.Errorf("emulator: open the state %s (does another emulator use it, or is it something else?): %w", file, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				_, _ = crc32.ChecksumIEEE(k), crc32.ChecksumIEEE(v) // touches each byte
				return nil
			})
		})
	})
}

// lockTimeout is how long to wait for an emulator that is ending.
const lockTimeout = 2 * time.Second

func openDisk(file string, log *slog.Logger) (*disk, error) {
	if err := verify(file); err != nil {
		return nil, err
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockTimeout, NoSync: true, NoFreelistSync: true,
		FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("emulator: open the state %s (does another emulator use it?): %w", file, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range buckets {
			if _, err := tx.CreateBucketIfNotExists([]byte(b)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("emulator: prepare the state %s: %w", file, err)
	}
	d := &disk{db: db, log: log, want: make(chan struct{}, 1), dirty: map[place]any{}, tasks: map[*task]bool{}}
	d.next = d.newBatch()
	return d, nil
}

func (d *disk) newBatch() *batch { return &batch{disk: d, done: make(chan struct{})} }

// put notes that v, a pointer, is to be written as it will be then.
func (d *disk) put(bucket, key string, v any) {
	if d != nil {
		d.dirty[place{bucket, key}] = v
	}
}

func (d *disk) remove(bucket, key string) { d.put(bucket, key, nil) }

func taskKey(t *task) string { return t.job.key + "\x00" + model.Key(t.ID) }

// touch notes that a task has changed.
func (d *disk) touch(t *task) {
	if d != nil {
		d.tasks[t] = true
	}
}

// forget removes a task.
func (d *disk) forget(t *task) {
	if d != nil {
		delete(d.tasks, t)
		d.remove(taskBucket, taskKey(t))
		d.remove(specBucket, taskKey(t))
	}
}

// storeSpec notes that the specification of a task is new.
func (s *Service) storeSpec(t *task) {
	if s.disk != nil {
		s.disk.put(specBucket, taskKey(t), json.RawMessage(t.spec))
		delete(s.disk.dirty, place{taskBucket, taskKey(t)}) // an older one of that name was to be removed
	}
}

func (d *disk) batch() *batch {
	if d == nil {
		return nil
	}
	return d.next
}

// wait returns when the batch is written.
func (b *batch) wait(ctx context.Context) error {
	if b == nil {
		return nil
	}
	select {
	case b.disk.want <- struct{}{}:
	default:
	}
	select {
	case <-b.done:
		if b.err != nil {
			return apierror.New(apierror.InternalError).With("Reason", "The state could not be written: "+b.err.Error())
		}
		return nil
	case <-ctx.Done():
		return apierror.New(apierror.OperationTimedOut)
	}
}

// A write is a change in the form of the database.
type write struct {
	place
	value []byte // nil: remove
}

// save writes changes until the service is closed.
func (s *Service) save() {
	d := s.disk
	tick := time.NewTicker(saveInterval)
	defer tick.Stop()
	var left []write // that could not be written
	for last := false; !last; {
		select {
		case <-d.want:
		case <-tick.C:
		case <-s.ctx.Done():
			last = true
		}
		s.mu.Lock()
		writes := d.take()
		b := d.next
		d.next = d.newBatch()
		now := s.clock.Now()
		s.mu.Unlock()
		if len(left)+len(writes) > 0 {
			left = append(left, writes...)
			if b.err = d.write(left, now); b.err != nil {
				d.log.Error("the state could not be written", "error", b.err)
			} else {
				left = nil
			}
		}
		close(b.done)
	}
}

// take encodes what has changed.
func (d *disk) take() []write {
	writes := make([]write, 0, len(d.dirty)+len(d.tasks))
	for p, v := range d.dirty {
		w := write{place: p}
		if raw, ok := v.(json.RawMessage); ok {
			w.value = raw
		} else if v != nil {
			w.value = encode(v)
		}
		writes = append(writes, w)
	}
	clear(d.dirty)
	for t := range d.tasks {
		writes = append(writes, write{place{taskBucket, taskKey(t)}, encode(&t.taskRecord)})
	}
	clear(d.tasks)
	return writes
}

func (d *disk) write(writes []write, now time.Time) error {
	return d.db.Update(func(tx *bbolt.Tx) error {
		for _, w := range writes {
			b := tx.Bucket([]byte(w.bucket))
			var err error
			if w.value == nil {
				err = b.Delete([]byte(w.key))
			} else {
				err = b.Put([]byte(w.key), w.value)
			}
			if err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(metaBucket)).Put([]byte("time"), []byte(now.Format(time.RFC3339Nano)))
	})
}

// time is what the clock showed at the last write; zero for a new database.
func (d *disk) time() time.Time {
	var t time.Time
	d.db.View(func(tx *bbolt.Tx) error {
		t, _ = time.Parse(time.RFC3339Nano, string(tx.Bucket([]byte(metaBucket)).Get([]byte("time"))))
		return nil
	})
	return t
}

func (d *disk) close() error {
	if d == nil {
		return nil
	}
	if err := d.db.Sync(); err != nil {
		d.log.Warn("the state could not be synced", "error", err)
	}
	return d.db.Close()
}

// each reads a bucket in the order of its keys, into values of type T.
func each[T any](tx *bbolt.Tx, bucket string, f func(key string, v *T) error) error {
	return tx.Bucket([]byte(bucket)).ForEach(func(k, b []byte) error {
		v := new(T)
		if err := json.Unmarshal(b, v); err != nil {
			return fmt.Errorf("emulator: the stored %s %q: %w", bucket, bytes.ReplaceAll(k, []byte{0}, []byte{'/'}), err)
		}
		return f(string(k), v)
	})
}
