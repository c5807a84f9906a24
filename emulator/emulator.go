package emulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/auth"
	"github.com/clusterless-go/clusterless/emulator/internal/faults"
	"github.com/clusterless-go/clusterless/emulator/internal/rest"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
	"github.com/clusterless-go/clusterless/emulator/internal/tlscert"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

// Options say what account an emulator is. The zero value is a good one for a test.
type Options struct {
	// Addr is where it listens; by default a free port of 127.0.0.1. Who can reach it and has the account's key can run
	// commands on this machine.
	Addr string
	// Dir keeps the state, the account's key and the nodes' files. By default it is temporary, and the state with it.
	Dir string
	// Account is the account's name; by default "emulator".
	Account string
	// Key is the account's shared key in base64; by default one that is made once, and kept in Dir.
	Key string
	// HTTPS serves https, with a certificate of an authority of its own: see Server.CAFile.
	HTTPS bool

	// Speed is how many times faster than real time the account's clock runs, up to 10,000; by default 1. Tasks of real nodes run as fast
	// as they do; their limits, as all times, are in the account's time.
	Speed float64
	// AllocationTime is how long it takes to find nodes for a pool, BootTime how long one takes to start, and PreemptedTime
	// how long one that was preempted is away, in the account's time. By default 1 s, 1 s and 30 s; negative: no time.
	AllocationTime, BootTime, PreemptedTime time.Duration

	// Simulate makes all nodes simulated, which run nothing, as "task=2s,spread=0.1": see docs/emulator.md. A pool can be
	// simulated by itself too, by its metadata EMULATOR_SIMULATE.
	Simulate string
	// Isolate gives each node a network of its own, which needs root on Linux. Otherwise each has an address of 127.0.0.0/8.
	Isolate bool
	// Forward are addresses of the loopback device, as "127.0.0.1:10000" of a storage emulator, that are the machine's on
	// isolated nodes too. The emulator's own is always one of them.
	Forward []string
	// MountPoint is where tasks see the tree of their node, the same on all nodes, as "/mnt/batch/tasks". It needs root on
	// Linux; by default they see it where it lies, in Dir.
	MountPoint string

	// Quota limits the account; by default as a new account's, without limits of cores.
	Quota *Quota
	// AutoStorage gives the URL of a container of the account's storage, with a signature that allows to read and list. By
	// default the account has no storage.
	AutoStorage func(ctx context.Context, container string) (string, error)
	// Log is told what goes wrong; by default nobody is.
	Log *slog.Logger
}

// A Quota is what an account may have at once. Zero is no limit.
type Quota struct {
	Pools            int `json:"pools"`
	Jobs             int `json:"jobs"`           // active jobs and job schedules
	Nodes            int `json:"nodes"`          // of a pool
	InterNodeNodes   int `json:"interNodeNodes"` // of a pool with inter-node communication
	DedicatedCores   int `json:"dedicatedCores"`
	LowPriorityCores int `json:"lowPriorityCores"`
}

// defaultQuota is what Microsoft's documentation gives as the defaults of an account, but for cores.
var defaultQuota = Quota{Pools: 100, Jobs: 300, Nodes: 2000, InterNodeNodes: 100}

// A Server is an emulator that runs. Its methods can be called by several goroutines.
type Server struct {
	account string
	url     string
	key     auth.Key
	issuer  *auth.Issuer
	faults  *faults.Injector
	service *service.Service
	bundle  *tlscert.Bundle // nil: plain http
	http    *http.Server
	served  chan struct{}
	remove  string // a temporary directory
	log     *slog.Logger
}

// Start starts an emulator, which runs until it is closed. The context counts for starting only.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{account: o.Account, served: make(chan struct{}), log: o.Log}
	if s.account == "" {
		s.account = "emulator"
	}
	dir := o.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "clusterless-emulator-"); err != nil {
			return nil, fmt.Errorf("emulator: make a directory: %w", err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { // users of tasks have to get through
			return nil, fmt.Errorf("emulator: make a directory: %w", err)
		}
		s.remove = dir
	} else if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("emulator: make a directory: %w", err)
	}
	defer func() {
		if err != nil {
			s.cleanUp()
		}
	}()
	if s.key, err = accountKey(o.Key, filepath.Join(dir, "key")); err != nil {
		return nil, err
	}
	s.issuer = auth.NewIssuer(s.key)
	if o.HTTPS {
		if s.bundle, err = tlscert.Open(filepath.Join(dir, "tls")); err != nil {
			return nil, err
		}
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	s.url = "http://" + listener.Addr().String()
	if s.bundle != nil {
		s.url = "https://" + listener.Addr().String()
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{s.bundle.Certificate},
			NextProtos: []string{"h2", "http/1.1"}})
	}
	if err := s.open(o, dir); err != nil {
		listener.Close()
		return nil, err
	}
	s.http = &http.Server{Handler: s.handler(), ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: time.Minute}
	go func() {
		defer close(s.served)
		s.http.Serve(listener) // its error is that it was closed
	}()
	return s, nil
}

// maxSpeed is the most for which the time since the start can be counted, for ten days.
const maxSpeed = 10_000

// open opens the service, with its state in dir.
func (s *Server) open(o Options, dir string) error {
	options := service.Options{
		Account: s.account, URL: s.url, Dir: dir, Speed: o.Speed, Isolate: o.Isolate, Mount: o.MountPoint,
		Forward:        append([]string{strings.TrimPrefix(strings.TrimPrefix(s.url, "http://"), "https://")}, o.Forward...),
		AllocationTime: orTime(o.AllocationTime, time.Second), BootTime: orTime(o.BootTime, time.Second),
		PreemptedTime: orTime(o.PreemptedTime, 30*time.Second),
		TaskToken:     s.issuer.TaskToken, AutoStorage: o.AutoStorage, Log: o.Log,
		ManagedToken: func(context.Context, string) (string, error) {
			token, _, err := s.issuer.Token("https://storage.azure.com/")
			return token, err
		},
		Identity: s.issuer.Environ(s.url + identityPath),
	}
	if options.Speed == 0 {
		options.Speed = 1
	}
	if !(options.Speed > 0 && options.Speed <= maxSpeed) {
		return fmt.Errorf("emulator: a speed of %v is not more than 0 and at most %v", o.Speed, maxSpeed)
	}
	if o.Dir != "" {
		options.File = filepath.Join(dir, "state.db")
	}
	quota := defaultQuota
	if o.Quota != nil {
		quota = *o.Quota
	}
	options.Quota = service.Quota(quota)
	var err error
	if o.Simulate != "" {
		if options.Simulate, err = service.ParseSimulation(o.Simulate); err != nil {
			return fmt.Errorf("emulator: simulate %q: %w", o.Simulate, err)
		}
	}
	s.service, err = service.Open(options)
	return err
}

func orTime(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return max(d, 0)
}

// accountKey is the key that was given, or the one in a file, which is made.
func accountKey(given, file string) (auth.Key, error) {
	if given == "" {
		b, err := os.ReadFile(file)
		switch {
		case err == nil:
			given = strings.TrimSpace(string(b))
		case errors.Is(err, os.ErrNotExist):
			key := auth.NewKey()
			if err := os.WriteFile(file, []byte(key.Base64()+"\n"), 0o600); err != nil {
				return key, fmt.Errorf("emulator: keep the key: %w", err)
			}
			return key, nil
		default:
			return auth.Key{}, fmt.Errorf("emulator: read the key: %w", err)
		}
	}
	key, err := auth.ParseKey(given)
	if err != nil {
		return key, fmt.Errorf("emulator: the account's key: %w", err)
	}
	return key, nil
}

// identityPath is where clients get tokens, by the protocol of managed identities.
const identityPath = "/identity/token"

func (s *Server) handler() http.Handler {
	s.faults = faults.New(rest.Operation, 1)
	mux := http.NewServeMux()
	mux.Handle(identityPath, s.issuer.Handler())
	mux.Handle("/admin/faults", s.faults.Admin())
	mux.Handle("/admin/", s.admin())
	verified := auth.NewVerifier(s.account, s.key, s.issuer).Handler(rest.Handler(s.service))
	api := wire.Handler(s.faults.Handler(rest.Versioned(verified)), s.log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/admin/") || r.URL.Path == identityPath {
			mux.ServeHTTP(w, r)
			return
		}
		api.ServeHTTP(w, r) // not by the mux, which would clean paths
	})
}

// Close ends the emulator and everything that runs on its nodes, and waits for that. With a Dir of its own the state stays.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	<-s.served
	err := s.service.Close()
	s.cleanUp()
	return err
}

func (s *Server) cleanUp() {
	if s.remove == "" {
		return
	}
	if err := os.RemoveAll(s.remove); err != nil {
		s.log.Warn("the emulator's directory could not be removed", "directory", s.remove, "error", err)
	}
}
