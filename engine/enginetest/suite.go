//go:build unix

// Package enginetest is the suite that every engine passes, and the helper program whose processes it looks at.
//
//	func TestMain(m *testing.M) { enginetest.Main(m) }
//
//	func TestEngine(t *testing.T) {
//		dir := t.TempDir()
//		enginetest.Run(t, enginetest.Options{Open: func(t testing.TB) engine.Engine { ... }})
//	}
//
// The suite has no deadline that is a measure of speed: it waits for what must happen, for up to a minute.
package enginetest

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/clusterless-go/clusterless/engine"
)

// Options say what an engine under test is like.
type Options struct {
	// Open opens the engine with at least two slots. The suite calls it several times, and expects every time an
	// engine that sees the jobs of the others. The suite closes it.
	Open func(t testing.TB) engine.Engine
	// Program is the path of the helper program (this test binary) where runs are made; "" is where it is here.
	Program string
	// Remote says that runs cannot see the files of this machine: tests that look at them are skipped.
	Remote bool
	// NoSignals says that the engine cannot tell a signal from an exit code.
	NoSignals bool
	// Many is the number of runs of the test with many runs; 0 is 5,000, fewer suit a service that needs a second each.
	Many int
}

// suite is what the tests share.
type suite struct{ Options }

var serial atomic.Int64

// Run runs the suite as subtests of t.
func Run(t *testing.T, o Options) {
	if o.Many == 0 {
		o.Many = 5000
	}
	s := &suite{Options: o}
	for _, test := range []struct {
		name string
		f    func(*testing.T, engine.Engine)
	}{
		{"Exit", s.exit},
		{"Signal", s.signal},
		{"Environment", s.environment},
		{"Apart", s.apart},
		{"Add", s.add},
		{"Idempotent", s.idempotent},
		{"Watchers", s.watchers},
		{"WatchLate", s.watchLate},
		{"OtherInstance", s.otherInstance},
		{"Unknown", s.unknown},
		{"Invalid", s.invalid},
		{"Cancel", s.cancel},
		{"CancelTree", s.cancelTree},
		{"Delete", s.delete},
		{"Timeout", s.timeout},
		{"NotStarted", s.notStarted},
		{"Impossible", s.impossible},
		{"Logs", s.logs},
		{"FollowLog", s.followLog},
		{"Many", s.many},
		{"Priority", s.priority},
		{"ResidentReuse", s.residentReuse},
		{"ResidentIsolated", s.residentIsolated},
		{"ResidentDies", s.residentDies},
		{"ResidentBeats", s.residentBeats},
		{"ResidentNeverGreets", s.residentNeverGreets},
		{"ResidentRetires", s.residentRetires},
		{"Concurrent", s.concurrent},
		{"Closed", s.closed},
	} {
		t.Run(test.name, func(t *testing.T) { test.f(t, s.open(t)) })
	}
}

// open opens the engine for the duration of a test.
func (s *suite) open(t *testing.T) engine.Engine {
	t.Helper()
	e := s.Open(t)
	var once sync.Once
	t.Cleanup(func() {
		once.Do(func() {
			if err := e.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	})
	return e
}

// job is a job of n runs of a script with an ID of its own.
func (s *suite) job(t *testing.T, n int, script ...string) engine.Job {
	name := strings.NewReplacer("/", "-", "#", "-").Replace(t.Name())
	return engine.Job{
		ID:      name + "-" + itoa(int(serial.Add(1))),
		Command: Command(s.Program, script...),
		Runs:    Runs(n),
	}
}

// both runs a test with a process for each run and with resident processes.
func both(t *testing.T, f func(t *testing.T, resident bool)) {
	t.Run("plain", func(t *testing.T) { f(t, false) })
	t.Run("resident", func(t *testing.T) { f(t, true) })
}

func submit(t *testing.T, e engine.Engine, j engine.Job) {
	t.Helper()
	if err := e.Submit(t.Context(), j); err != nil {
		t.Fatalf("submit: %v", err)
	}
}

// local skips a test that needs the files of this machine.
func (s *suite) local(t *testing.T) {
	t.Helper()
	if s.Remote {
		t.Skip("runs are made on other machines")
	}
}
