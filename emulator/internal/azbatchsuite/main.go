// Command azbatchsuite runs the tests that Microsoft has written for its package azbatch against the emulator, as if the
// emulator were the service: in the suite's live mode. The suite is built from the module cache as it lies there, with the
// dependencies that its own go.mod and go.sum name; nothing of it is copied or changed. Between the suite and the emulator stands
// a proxy that compares every exchange with the API's description.
//
// Usage: go run ./emulator/internal/azbatchsuite [-run regexp]
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/emulator/internal/apicheck"
	"github.com/clusterless-go/clusterless/emulator/internal/tlscert"
)

const module = "github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

// timeout is for all tests together. They poll every 14 seconds, as is right for the real service.
const timeout = 10 * time.Minute

func main() {
	which := flag.String("run", ".", "which of the suite's tests to run")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *which); err != nil {
		fmt.Fprintln(os.Stderr, "azbatchsuite:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, which string) error {
	tmp, err := os.MkdirTemp("", "azbatchsuite-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil { // users of tasks have to get through
		return err
	}
	dir, version, err := suite(ctx)
	if err != nil {
		return err
	}
	bin := filepath.Join(tmp, "azbatch.test")
	if err := build(ctx, dir, bin); err != nil {
		return err
	}
	want, err := list(ctx, dir, bin, which)
	if err != nil {
		return err
	}
	checker, err := apicheck.New()
	if err != nil {
		return err
	}
	passed, violations, err := runTests(ctx, dir, bin, which, filepath.Join(tmp, "state"), checker)
	fmt.Printf("azbatch %s: %d of %d tests passed, with exchanges of these operations:\n", version, len(passed), len(want))
	if err := checker.WriteCoverage(os.Stdout); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	if len(violations) > 0 {
		return fmt.Errorf("%d points in which exchanges differ from the API's description:\n%w", len(violations), errors.Join(violations...))
	}
	for _, name := range want {
		if !slices.Contains(passed, name) {
			return fmt.Errorf("%s did not pass", name)
		}
	}
	return nil
}

// suite finds the module, and loads it when it is not there.
func suite(ctx context.Context) (dir, version string, err error) {
	if out, err := exec.CommandContext(ctx, "go", "mod", "download", module).CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("go mod download %s: %w: %s", module, err, out)
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", module).Output()
	if err != nil {
		return "", "", fmt.Errorf("go list -m %s: %w", module, err)
	}
	version, dir, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
	return dir, version, nil
}

// build compiles the suite in its own module. The module cache cannot be written to, and go.sum is checked.
func build(ctx context.Context, dir, bin string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-mod=readonly", "-o", bin, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the suite: %w: %s", err, out)
	}
	return nil
}

func list(ctx context.Context, dir, bin, which string) ([]string, error) {
	cmd := exec.CommandContext(ctx, bin, "-test.list", which)
	cmd.Dir, cmd.Env = dir, live(nil)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("list the tests: %w", err)
	}
	var tests []string
	for _, name := range strings.Fields(string(out)) {
		if strings.HasPrefix(name, "Test") {
			tests = append(tests, name)
		}
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("the suite has no test %s", which)
	}
	return tests, nil
}

// live is the environment in which the suite calls a service and needs no recordings, without anything by which a
// credential of the user's could be found.
func live(more []string) []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		return strings.HasPrefix(e, "AZURE") || strings.HasPrefix(e, "SYSTEM_ACCESSTOKEN") || strings.HasPrefix(e, "MSI_")
	})
	return append(append(env, "AZURE_RECORD_MODE=live"), more...)
}

var passing = regexp.MustCompile(`^--- PASS: (\S+)`)

// runTests starts an emulator, runs the suite, and returns the names of the tests that passed, and what of the exchanges does not
// conform to the description.
func runTests(ctx context.Context, dir, bin, which, state string, checker *apicheck.Checker) (passed []string, violations []error, err error) {
	var log bytes.Buffer
	s, err := emulator.Start(ctx, emulator.Options{HTTPS: true, Dir: state, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	var mu sync.Mutex
	endpoint, stop, err := check(s, state, checker, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		violations = append(violations, err)
	})
	if err != nil {
		return nil, nil, err
	}
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Minute) // the suite stops itself before
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, "-test.v", "-test.run", which, "-test.parallel", "16", "-test.timeout", timeout.String())
	cmd.Dir = dir
	cmd.Env = live(append(s.Environ(), "SSL_CERT_FILE="+s.CAFile(), "AZBATCH_ENDPOINT="+endpoint))
	cmd.WaitDelay = 5 * time.Second
	out, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	waited := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		w.Close()
		waited <- err
	}()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		fmt.Println(lines.Text())
		if m := passing.FindStringSubmatch(lines.Text()); m != nil {
			passed = append(passed, m[1])
		}
	}
	err = <-waited
	stop()
	if err != nil {
		return passed, violations, fmt.Errorf("the suite failed: %w\nthe emulator's log:\n%s", err, log.Bytes())
	}
	return passed, violations, nil
}

// check serves what an emulator serves, which has its state in a directory, with the same certificate, and has each exchange
// checked. It returns the host and port, and what ends it when all exchanges are over.
func check(s *emulator.Server, state string, checker *apicheck.Checker, report func(error)) (endpoint string, stop func(), err error) {
	target, err := url.Parse(s.URL())
	if err != nil {
		return "", nil, err
	}
	bundle, err := tlscert.Open(filepath.Join(state, "tls"))
	if err != nil {
		return "", nil, err
	}
	client := s.HTTPClient()
	proxy := &httputil.ReverseProxy{
		Transport: client.Transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = target.Scheme, target.Host }, // and Host stays
	}
	server := httptest.NewUnstartedServer(checker.Handler(proxy, report))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{bundle.Certificate}}
	server.StartTLS()
	return strings.TrimPrefix(server.URL, "https://"), sync.OnceFunc(func() {
		server.Close()
		client.CloseIdleConnections()
	}), nil
}
