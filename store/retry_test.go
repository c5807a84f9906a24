package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clusterless-go/clusterless/store"
)

func TestRetry(t *testing.T) {
	ops := map[string]func(ctx context.Context, s store.Store) error{
		"put from a seeker": func(ctx context.Context, s store.Store) error {
			return s.Put(ctx, "new", io.NewSectionReader(strings.NewReader("..content"), 2, 7))
		},
		"put from a source": func(ctx context.Context, s store.Store) error {
			src := store.Source(func(w io.Writer) error { _, err := io.WriteString(w, "content"); return err })
			defer src.Close()
			return s.Put(ctx, "new", src)
		},
		"get": func(ctx context.Context, s store.Store) error {
			b, err := store.ReadAll(ctx, s, "there")
			if err == nil && string(b) != "content" {
				return fmt.Errorf("got %q", b)
			}
			return err
		},
		"range": func(ctx context.Context, s store.Store) error {
			r, err := store.GetRange(ctx, s, "there", 1, 4)
			if err != nil {
				return err
			}
			b, err := io.ReadAll(r)
			if err == nil && string(b) != "onte" {
				return fmt.Errorf("got %q", b)
			}
			return err
		},
		"list": func(ctx context.Context, s store.Store) error {
			var keys []string
			for info, err := range s.List(ctx, "") {
				if err != nil {
					return err
				}
				keys = append(keys, info.Key)
			}
			if want := []string{"also", "there"}; !slices.Equal(keys, want) {
				return fmt.Errorf("got %q", keys)
			}
			return nil
		},
		"delete": func(ctx context.Context, s store.Store) error { return s.Delete(ctx, "there") },
	}
	for name, op := range ops {
		for _, c := range []struct {
			name  string
			fails int
			err   error
			after int64
			calls int
			ok    bool
		}{
			{"no failure", 0, nil, 0, 1, true},
			{"some", 3, store.Transient(errAway), 0, 4, true},
			{"some in the middle", 3, store.Transient(errAway), 1, 4, true},
			{"too many", 100, store.Transient(errAway), 0, 6, false},
			{"permanent", 100, errAway, 0, 1, false},
			{"no space, whatever it says", 100, store.Transient(syscall.ENOSPC), 0, 1, false},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := mem(t)
					put(t, m, "there", "content")
					put(t, m, "also", "")
					f := &flaky{Store: m, fails: c.fails, err: c.err, after: c.after}
					start := time.Now()
					err := op(t.Context(), store.Retry(f, store.Policy{}))
					if (err == nil) != c.ok || !c.ok && !errors.Is(err, c.err) {
						t.Errorf("error %v, want success: %t", err, c.ok)
					}
					if f.calls != c.calls {
						t.Errorf("tried %d times, want %d", f.calls, c.calls)
					}
					if took := time.Since(start); took > time.Minute || c.calls == 1 && took > 0 {
						t.Errorf("took %v", took)
					}
					if strings.HasPrefix(name, "put") && c.ok {
						if b, err := store.ReadAll(t.Context(), m, "new"); string(b) != "content" {
							t.Errorf("put %q, %v", b, err)
						}
					}
				})
			})
		}
	}
}

func TestRetryOfASourceThatCannotStartOver(t *testing.T) {
	f := &flaky{Store: mem(t), fails: 1, err: store.Transient(errAway)}
	err := store.Retry(f, store.Policy{}).Put(t.Context(), "k", io.LimitReader(strings.NewReader("content"), 100))
	if !errors.Is(err, errAway) || !strings.Contains(err.Error(), "cannot start over") || store.IsTransient(err) {
		t.Errorf("Put = %v, want a permanent error that says why it was not tried again", err)
	}
	if f.calls != 1 {
		t.Errorf("tried %d times, want once", f.calls)
	}
}

// TestRetryAfterCommit is about attempts that commit and fail.
func TestRetryAfterCommit(t *testing.T) {
	for name, c := range map[string]struct {
		stored string // by another writer, before; "": by our own first attempt
		late   bool
		want   error
	}{
		"ours":               {"", true, nil},
		"another's":          {"another", false, fs.ErrExist},
		"another's, longer":  {"content and more", false, fs.ErrExist},
		"another's, shorter": {"con", false, fs.ErrExist},
		"another's, equal":   {"content", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := mem(t)
				if c.stored != "" {
					put(t, m, "k", c.stored)
				}
				f := &flaky{Store: m, fails: 1, err: store.Transient(errAway), late: c.late}
				err := store.Retry(f, store.Policy{}).Put(t.Context(), "k", strings.NewReader("content"))
				if !errors.Is(err, c.want) {
					t.Errorf("Put = %v, want %v", err, c.want)
				}
			})
		})
	}
	// Without a failure before, a taken key is taken, whatever is in it.
	m := mem(t)
	put(t, m, "k", "content")
	if err := store.Retry(m, store.Policy{}).Put(t.Context(), "k", strings.NewReader("content")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Put = %v, want fs.ErrExist", err)
	}
}

func TestRetryWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Store: mem(t), fails: 1000, err: store.Transient(errAway)}
		start := time.Now()
		err := store.Retry(f, store.Policy{Attempts: 100, Base: time.Second, Max: 4 * time.Second}).Delete(t.Context(), "k")
		if !errors.Is(err, errAway) || f.calls != 100 {
			t.Errorf("Delete = %v after %d attempts, want 100", err, f.calls)
		}
		// 97 waits of 2 s on average.
		if took := time.Since(start); took < 100*time.Second || took > 99*4*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestRetryEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &flaky{Store: mem(t), fails: 1000, err: store.Transient(errAway)}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		put(t, f.Store, "k", "x")
		_, err := store.Retry(f, store.Policy{Attempts: 1000}).Get(ctx, "k")
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errAway) {
			t.Errorf("Get = %v, want the end of the context and what went wrong before", err)
		}
	})
}

func TestIsTransient(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errAway, false},
		{store.Transient(nil), false},
		{store.Transient(errAway), true},
		{fmt.Errorf("put: %w", store.Transient(errAway)), true},
		{&store.Error{Err: store.Transient(errAway)}, true},
		{errors.Join(errors.New("a"), store.Transient(errAway)), true},
		{store.Transient(fs.ErrExist), false},
		{store.Transient(&fs.PathError{Err: syscall.EACCES}), false},
		{store.Transient(context.Canceled), false},
		{store.Transient(store.ErrDamaged), false},
	} {
		if got := store.IsTransient(c.err); got != c.want {
			t.Errorf("IsTransient(%v) = %t, want %t", c.err, got, c.want)
		}
	}
}
