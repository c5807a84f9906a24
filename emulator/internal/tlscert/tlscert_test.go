package tlscert_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/tlscert"
)

func TestMain(m *testing.M) {
	if url := os.Getenv("TLSCERT_TEST_GET"); url != "" { // a client in a process of its own
		resp, err := http.Get(url)
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		io.Copy(os.Stdout, resp.Body)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func open(t *testing.T, dir string, names ...string) *tlscert.Bundle {
	t.Helper()
	b, err := tlscert.Open(dir, names...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func serve(t *testing.T, b *tlscert.Bundle) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{b.Certificate}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// TestClientOfAnotherProcess is a client that was told of the authority by a variable, as any program can be.
func TestClientOfAnotherProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only on Linux does Go read SSL_CERT_FILE")
	}
	b := open(t, t.TempDir())
	s := serve(t, b)
	port := s.URL[strings.LastIndex(s.URL, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TLSCERT_TEST_GET=https://"+host+port, "SSL_CERT_FILE="+b.CAFile)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "hello" {
			t.Errorf("%s: %v: %s", host, err, out)
		}
		cmd = exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "TLSCERT_TEST_GET=https://"+host+port)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "unknown authority") {
			t.Errorf("%s, without the authority: %v: %s", host, err, out)
		}
	}
}

func TestKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "dir")
	a := open(t, dir)
	for _, name := range []string{"server.pem", "ca.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.pem.*")); err != nil || len(left) > 0 {
		t.Errorf("left over: %q (%v)", left, err)
	}
	ca, err := os.ReadFile(a.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(ca, []byte("PRIVATE")) {
		t.Error("what clients are given has a private key")
	}
	if err := os.Remove(a.CAFile); err != nil {
		t.Fatal(err)
	}
	if b := open(t, dir); !bytes.Equal(a.Certificate.Certificate[0], b.Certificate.Certificate[0]) {
		t.Error("another certificate the second time")
	}
	if again, err := os.ReadFile(a.CAFile); err != nil || !bytes.Equal(again, ca) {
		t.Errorf("the authority was not written again (%v)", err)
	}
}

func TestMoreNames(t *testing.T) {
	dir := t.TempDir()
	a := open(t, dir)
	b := open(t, dir, "batch.example", "127.0.0.9")
	if bytes.Equal(a.Certificate.Certificate[0], b.Certificate.Certificate[0]) {
		t.Fatal("the certificate lacks the new names")
	}
	for _, name := range []string{"batch.example", "127.0.0.9", "localhost", "127.0.0.1", "::1"} {
		if err := b.Certificate.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if c := open(t, dir); !bytes.Equal(b.Certificate.Certificate[0], c.Certificate.Certificate[0]) {
		t.Error("a certificate with more names than asked for was replaced")
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.CA}}}
	if _, err := client.Get(serve(t, b).URL); err == nil {
		t.Error("who trusts the old authority trusts the new certificate")
	}
}

func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	all := make([]*tlscert.Bundle, 8)
	for i := range all {
		wg.Go(func() {
			var err error
			if all[i], err = tlscert.Open(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, b := range all {
		if b == nil || all[0] == nil || !bytes.Equal(b.Certificate.Certificate[0], all[0].Certificate.Certificate[0]) {
			t.Fatal("two that opened the directory at a time got different certificates")
		}
	}
}

func TestBadFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "server.pem")
	if err := os.WriteFile(file, []byte("something of the user's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := tlscert.Open(dir); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	if _, err := tlscert.Open(file); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file for a directory: got %v", err)
	}
}
