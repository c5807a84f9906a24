package clusterless_test

import (
	"context"
	"os"
	"testing"

	"github.com/clusterless-go/clusterless"
)

// The test binary is the program: engines start it again as a worker.
func TestMain(m *testing.M) {
	clusterless.Init()
	os.Exit(m.Run())
}

// open opens a session in a directory of the test's own, with two slots.
func open(t testing.TB, opts ...clusterless.Option) *clusterless.Session {
	t.Helper()
	return openIn(t, t.TempDir(), opts...)
}

func openIn(t testing.TB, dir string, opts ...clusterless.Option) *clusterless.Session {
	t.Helper()
	s, err := clusterless.Open(context.Background(), append([]clusterless.Option{clusterless.Dir(dir), clusterless.Slots(2)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}
