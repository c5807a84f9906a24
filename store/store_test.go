package store_test

import (
	"context"
	"errors"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/store"
)

func TestOpen(t *testing.T) {
	s, err := store.Open(t.Context(), "mem:TestOpen")
	if err != nil {
		t.Fatal(err)
	}
	if s.URL() != "mem:TestOpen" {
		t.Errorf("URL() = %s", s.URL())
	}
	for rawURL, words := range map[string][]string{
		"azblob://container?sig=secret": {"azblob", "file, mem", `import _ "github.com/clusterless-go/clusterless/store/blobstore"`},
		"gopher://x?sig=secret":         {"gopher", "file, mem"},
		"/tmp/store":                    {"file:///"},
		"":                              {"file:///"},
		"file:///x?x=secret%zz":         {"sync=1"},
		"file://%zzsecret":              {"URL"},
		"mem:":                          {"mem:name"},
	} {
		_, err := store.Open(t.Context(), rawURL)
		if err == nil {
			t.Errorf("Open(%q) succeeded", rawURL)
			continue
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("Open(%q): error %q does not say %q", rawURL, err, w)
			}
		}
		if strings.Contains(err.Error(), "=secret") {
			t.Errorf("Open(%q): error %q shows a secret", rawURL, err)
		}
	}
}

func TestRegisterTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Register of a scheme that is taken did not panic")
		}
	}()
	store.Register("mem", func(context.Context, *url.URL) (store.Store, error) { return nil, nil })
}

const (
	content    = "content"
	contentSum = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
)

func TestGetVerified(t *testing.T) {
	m := mem(t)
	for _, c := range []struct {
		key, content string
		damaged      bool
	}{{"good", content, false}, {"changed", "c0ntent", true}, {"short", "conten", true}, {"long", "content.", true}, {"empty", "", true}} {
		put(t, m, c.key, c.content)
		r, err := store.GetVerified(t.Context(), m, c.key, contentSum)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if string(got) != c.content || errors.Is(err, store.ErrDamaged) != c.damaged || !c.damaged && err != nil {
			t.Errorf("%s: read %q, %v, want damaged: %t", c.key, got, err, c.damaged)
		}
		if c.damaged && !strings.Contains(err.Error(), c.key) {
			t.Errorf("error %q does not name the key %s", err, c.key)
		}
		r.Close()
		if err := store.VerifySHA256(t.Context(), m, c.key, contentSum); errors.Is(err, store.ErrDamaged) != c.damaged {
			t.Errorf("VerifySHA256(%s) = %v, want damaged: %t", c.key, err, c.damaged)
		}
	}
}

func TestSource(t *testing.T) {
	calls := 0
	s := store.Source(func(w io.Writer) error {
		calls++
		for range 1000 {
			if _, err := io.WriteString(w, content); err != nil {
				return err
			}
		}
		return nil
	})
	want := strings.Repeat(content, 1000)
	half := make([]byte, 10)
	if _, err := io.ReadFull(s, half); err != nil {
		t.Fatal(err)
	}
	if err := s.Rewind(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(struct{ io.Reader }{s})
	if err != nil || string(got) != want {
		t.Errorf("read %d bytes, %v, after Rewind, want %d", len(got), err, len(want))
	}
	var b strings.Builder
	if n, err := s.WriteTo(&b); n != int64(len(want)) || err != nil || b.String() != want {
		t.Errorf("WriteTo wrote %d bytes, %v, want %d", n, err, len(want))
	}
	if err := s.Close(); err != nil || calls != 3 {
		t.Errorf("Close = %v after %d calls, want 3", err, calls)
	}
}

func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"a", "a/b", "..", "a//b", "/", "a,b", "\x00"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if store.CheckKey(key) != nil {
			return
		}
		for seg := range strings.SplitSeq(key, "/") {
			if seg == "" || seg == "." || seg == ".." || len(seg) > store.MaxSegment || strings.ContainsAny(seg, "\\,:\x00 ") {
				t.Errorf("CheckKey(%q) = nil", key)
			}
		}
	})
}
