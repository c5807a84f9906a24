package cache_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/cache"
	"golang.org/x/sys/unix"
)

const resetSize = 256<<20 + 12345

func resetMapping(t testing.TB) (b, content []byte) {
	path := filepath.Join(t.TempDir(), "f")
	content = noise(resetSize)
	if err := os.WriteFile(path, content, 0o444); err != nil {
		t.Fatal(err)
	}
	b, err := cache.Map(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cache.Unmap(b) })
	return b, content
}

// What was written is gone after Reset: however often, wherever, by whomever, and whether the page was read before or not.
func TestResetOften(t *testing.T) {
	for _, blind := range []bool{false, true} {
		t.Run(map[bool]string{false: "watched", true: "blind"}[blind], func(t *testing.T) {
			cache.Blind(t, blind)
			b, content := resetMapping(t)
			page := os.Getpagesize()
			pages := len(b) / page
			rnd := rand.New(rand.NewPCG(1, 2))
			writes := map[string]func(){
				"one page":          func() { b[5*page]++ },
				"the same again":    func() { b[5*page]++ },
				"the last byte":     func() { b[len(b)-1]++ },
				"every second page": func() { every(b, 2*page) }, // more parts than one look finds
				"every page":        func() { every(b, page) },
				"at random": func() {
					for range 1000 {
						b[rnd.IntN(pages)*page+7]++
					}
				},
				"the kernel":      func() { io.ReadFull(strings.NewReader("x"), b[page:page+1]); read(t, b[20*page:30*page]) },
				"read, then some": func() { bytes.Equal(b[:len(b)/2], content[:len(b)/2]); b[100*page]++; b[len(b)-page]++ },
				"nothing":         func() {},
			}
			for round := range 3 {
				for what, write := range writes { // in any order
					write()
					if err := cache.Reset(b); err != nil {
						t.Fatal(err)
					}
					if round == 1 {
						continue // so that the next one finds pages that nobody read since
					}
					if !bytes.Equal(b, content) {
						t.Fatalf("round %d, %s: what was written is still there after Reset", round, what)
					}
				}
			}
			if !bytes.Equal(b, content) {
				t.Error("what was written is still there")
			}
			if !blind && kernel(t, 6, 7) && cache.Blind(t, false) {
				t.Error("the kernel was not asked what was written to: is userfaultfd forbidden here?")
			}
		})
	}
}

func every(b []byte, step int) {
	for i := 0; i < len(b); i += step {
		b[i]++
	}
}

// read makes the kernel write to b.
func read(t *testing.T, b []byte) {
	f, err := os.Open("/dev/urandom")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, b); err != nil {
		t.Fatal(err)
	}
}

// kernel says that Linux is at least of a version, and that a container does not forbid what root may do.
func kernel(t *testing.T, major, minor int) bool {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var a, b int
	for i, part := range strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3) {
		n := 0
		for _, c := range part {
			if c < '0' || c > '9' {
				break
			}
			n = 10*n + int(c-'0')
		}
		switch i {
		case 0:
			a = n
		case 1:
			b = n
		}
	}
	if fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|1, 0, 0); errno == 0 {
		unix.Close(int(fd))
	} else {
		return false
	}
	return a > major || a == major && b >= minor
}

// BenchmarkReset is about a mapping that was read whole, of which a page was written to.
func BenchmarkReset(b *testing.B) {
	for _, blind := range []bool{false, true} {
		b.Run(map[bool]string{false: "watched", true: "blind"}[blind], func(b *testing.B) {
			cache.Blind(b, blind)
			m, content := resetMapping(b)
			var took time.Duration
			for b.Loop() {
				m[100_000]++
				if !bytes.Equal(m[200_000:], content[200_000:]) {
					b.Fatal("wrong content")
				}
				t := time.Now()
				if err := cache.Reset(m); err != nil {
					b.Fatal(err)
				}
				took += time.Since(t)
			}
			b.ReportMetric(float64(took.Microseconds())/float64(b.N), "us/reset")
		})
	}
}
