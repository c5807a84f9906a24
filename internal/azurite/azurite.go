// Package azurite starts Azurite, Microsoft's emulator of Azure Storage, for tests. scripts/setup.sh installs it, at the
// version that scripts/azurite/package-lock.json names.
package azurite

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server is a running Azurite with an empty blob service, all in memory.
type Server struct {
	Account  string
	Key      string // of the account, in base64; made for this server
	Endpoint string // of the account's blobs: http://127.0.0.1:PORT/ACCOUNT, without a slash at the end
}

// ready is what Azurite says before the URL that it listens at.
const ready = "Azurite Blob service successfully listens on "

// startTimeout is long, for machines that are busy.
const startTimeout = 2 * time.Minute

// Start starts a server that lives until the test and its subtests end, or its process does. args are further ones for it.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, stop, err := Run(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return s
}

// Run starts a server, with dir as its working directory, that lives until stop is called, or the process ends.
func Run(dir string, args ...string) (s *Server, stop func(), err error) {
	installed, err := installation()
	if err != nil {
		return nil, nil, err
	}
	secret := make([]byte, 64)
	rand.Read(secret)
	s = &Server{Account: "testaccount", Key: base64.StdEncoding.EncodeToString(secret)}

	cmd := exec.Command("node", "--require", filepath.Join(installed, "end-with-parent.js"),
		filepath.Join(installed, "node_modules", "azurite", "dist", "src", "blob", "main.js"),
		"--blobHost", "127.0.0.1", "--blobPort", "0",
		"--inMemoryPersistence", "--disableTelemetry", "--silent", "--skipApiVersionCheck")
	cmd.Args = append(cmd.Args, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "AZURITE_ACCOUNTS="+s.Account+":"+s.Key)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return nil, nil, fmt.Errorf("azurite: start node: %w: scripts/setup.sh installs it", err)
	}
	url := make(chan string, 1)
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(url)
		out := bufio.NewScanner(stdout)
		for out.Scan() {
			if _, rest, ok := strings.Cut(out.Text(), ready); ok {
				url <- strings.TrimSuffix(rest, "/")
				break
			}
		}
		_, _ = io.Copy(io.Discard, stdout)
	})
	stop = func() {
		stdin.Close()
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	}
	select {
	case base, ok := <-url:
		if !ok {
			stop()
			return nil, nil, fmt.Errorf("azurite ended before it listened: %s", stderr.String())
		}
		s.Endpoint = base + "/" + s.Account
		return s, stop, nil
	case <-time.After(startTimeout):
		stop()
		return nil, nil, fmt.Errorf("azurite does not listen after %v", startTimeout)
	}
}

// installation is the directory that scripts/setup.sh put Azurite in.
func installation() (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(here) {
		return "", errors.New("azurite: where the module lies is not known: this program was built with -trimpath")
	}
	dir := filepath.Join(filepath.Dir(here), "..", "..", "scripts", "azurite")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "azurite")); err != nil {
		return "", fmt.Errorf("azurite is not installed: run scripts/setup.sh: %w", err)
	}
	return dir, nil
}
