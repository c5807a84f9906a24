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
	// Remote says that runs cannot see the files of this machine: tests that look at them are left out.
	Remote bool
	// Dir makes a directory that runs can write to; by default that is t.TempDir, which runs of other users cannot.
	Dir func(t testing.TB) string
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
	if o.Dir == nil {
		o.Dir = func(t testing.TB) string { return t.TempDir() }
	}
	s := &suite{Options: o}
	probe := o.Open(t)
	has := s.has(probe)
	if err := probe.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	for _, test := range []struct {
		name  string
		f     func(*testing.T, engine.Engine)
		needs need
	}{
		{"Exit", s.exit, 0},
		{"Signal", s.signal, signals},
		{"Environment", s.environment, 0},
		{"Apart", s.apart, 0},
		{"Add", s.add, 0},
		{"Idempotent", s.idempotent, files},
		{"Watchers", s.watchers, 0},
		{"WatchLate", s.watchLate, 0},
		{"OtherInstance", s.otherInstance, 0},
		{"Unknown", s.unknown, 0},
		{"Invalid", s.invalid, 0},
		{"Cancel", s.cancel, 0},
		{"CancelTree", s.cancelTree, files | logs},
		{"Delete", s.delete, 0},
		{"Timeout", s.timeout, 0},
		{"NotStarted", s.notStarted, files},
		{"Impossible", s.impossible, slots},
		{"Logs", s.logs, logs},
		{"FollowLog", s.followLog, files | logs},
		{"Many", s.many, 0},
		{"Priority", s.priority, files | slots},
		{"ResidentReuse", s.residentReuse, files | slots},
		{"ResidentIsolated", s.residentIsolated, files},
		{"ResidentDies", s.residentDies, 0},
		{"ResidentBeats", s.residentBeats, files | slots},
		{"ResidentNeverGreets", s.residentNeverGreets, slots},
		{"ResidentRetires", s.residentRetires, 0},
		{"Concurrent", s.concurrent, 0},
		{"Closed", s.closed, 0},
	} {
		if test.needs&^has != 0 {
			continue
		}
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

// need is what an engine must be like for a test to have a meaning.
type need uint8

const (
	files   need = 1 << iota // runs see the files of this machine
	slots                    // the engine says how many runs it makes at once: then it keeps processes, and hears them
	logs                     // it is a Logger
	signals                  // it tells a signal from an exit code
)

// has is what the engine under test is like.
func (s *suite) has(e engine.Engine) (n need) {
	if !s.Remote {
		n |= files
	}
	if _, ok := engine.Slots(e, engine.Resources{}); ok {
		n |= slots
	}
	if _, ok := e.(engine.Logger); ok {
		n |= logs
	}
	if !s.NoSignals {
		n |= signals
	}
	return n
}
