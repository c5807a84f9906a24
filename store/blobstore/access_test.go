package blobstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	neturl "net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

func TestAccess(t *testing.T) {
	server := azurite.Start(t)
	for _, c := range []struct {
		name string
		test func(t *testing.T, server *azurite.Server, s *blobstore.Store)
	}{
		{"Permissions", testPermissions},
		{"OtherContainer", testOtherContainer},
		{"Expired", testExpired},
		{"Environment", testEnvironment},
		{"WrongKey", testWrongKey},
		{"ContainerGone", testContainerGone},
		{"NoSecretInErrors", testNoSecret},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, server, newStore(t, server)) })
	}
}

func token(t testing.TB, s *blobstore.Store, valid time.Duration, p blobstore.Permission) string {
	t.Helper()
	token, err := s.Token(t.Context(), valid, p)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func testPermissions(t *testing.T, server *azurite.Server, s *blobstore.Store) {
	for p, wantAllowed := range map[blobstore.Permission][2]bool{
		blobstore.Read: {false, false}, blobstore.Write: {true, false}, blobstore.Delete: {true, true},
	} {
		key := fmt.Sprint("k", p)
		put(t, s, key, "content")
		w := open(t, s.URL(), blobstore.WithToken(token(t, s, time.Hour, p)))
		wantBlob(t, w, key, "content")
		for i, err := range []error{w.Put(t.Context(), key+"new", numbered(9*mib)), w.Delete(t.Context(), key)} {
			if wantAllowed[i] && err != nil {
				t.Errorf("permission %d: operation %d: %v", p, i, err)
			}
			if !wantAllowed[i] && (!errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "does not allow this")) {
				t.Errorf("permission %d: operation %d: %v, want fs.ErrPermission that says what to do", p, i, err)
			}
		}
		if _, err := w.Token(t.Context(), time.Hour, p); err == nil {
			t.Error("a store that was opened by a token made one")
		}
	}
}

// testOtherContainer: a token is not sent where it does not belong.
func testOtherContainer(t *testing.T, server *azurite.Server, s *blobstore.Store) {
	other := newStore(t, server)
	tok := token(t, s, time.Hour, blobstore.Write)
	t.Setenv(blobstore.TokenVariable, tok)
	w, err := store.Open(t.Context(), other.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Get(t.Context(), "k")
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "has no token for this container") {
		t.Errorf("Get with a token for another container: %v, want fs.ErrPermission that says so", err)
	}
	if _, err := blobstore.Open(other.URL(), blobstore.WithToken(tok)); err == nil {
		t.Error("Open took a token for another container")
	}
	put(t, other, "k", "x")
	t.Setenv(blobstore.TokenVariable, tok+" "+token(t, other, time.Hour, blobstore.Read))
	if w, err = store.Open(t.Context(), other.URL()); err != nil {
		t.Fatal(err)
	}
	wantBlob(t, w, "k", "x")
}

func testExpired(t *testing.T, server *azurite.Server, s *blobstore.Store) {
	put(t, s, "k", "x")
	w := open(t, s.URL(), blobstore.WithToken(token(t, s, time.Second, blobstore.Write)))
	eventually(t, "the token expires", func() bool {
		_, err := store.ReadAll(t.Context(), w, "k")
		return errors.Is(err, fs.ErrPermission)
	})
	for what, f := range operations(w) {
		if what == "CopyFrom" {
			continue // which is done by other means then
		}
		err := f(t.Context())
		if !errors.Is(err, fs.ErrPermission) || store.IsTransient(err) || !strings.Contains(err.Error(), "expired at") || !strings.Contains(err.Error(), "time limit") {
			t.Errorf("%s with an expired token: %v, want fs.ErrPermission that says so and what to do", what, err)
		}
	}
	wantKeys(t, s, "k")
}

func testEnvironment(t *testing.T, server *azurite.Server, s *blobstore.Store) {
	put(t, s, "k", "x")
	for name, env := range map[string]map[string]string{
		"token":      {blobstore.TokenVariable: token(t, s, time.Hour, blobstore.Read)},
		"key":        {"AZURE_STORAGE_ACCOUNT": server.Account, "AZURE_STORAGE_KEY": server.Key},
		"connection": {"AZURE_STORAGE_CONNECTION_STRING": "AccountName=" + server.Account + ";AccountKey=" + server.Key + ";EndpointSuffix=core.windows.net"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range env {
				t.Setenv(k, v)
			}
			w, err := store.Open(t.Context(), s.URL())
			if err != nil {
				t.Fatal(err)
			}
			wantBlob(t, w, "k", "x")
		})
	}
	t.Run("key of another account", func(t *testing.T) {
		t.Setenv("AZURE_STORAGE_ACCOUNT", "another")
		t.Setenv("AZURE_STORAGE_KEY", server.Key)
		w := open(t, s.URL())
		if _, err := w.Get(t.Context(), "k"); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("Get: %v, want fs.ErrPermission", err)
		}
	})
}

func testWrongKey(t *testing.T, server *azurite.Server, s *blobstore.Store) {
	put(t, s, "there", "x")
	w := open(t, s.URL(), blobstore.WithKey("d3Jvbmc="))
	for what, f := range operations(w) {
		err := f(t.Context())
		if what != "CopyFrom" && (!errors.Is(err, fs.ErrPermission) || store.IsTransient(err) || !strings.Contains(err.Error(), "is not one of account")) {
			t.Errorf("%s with a wrong key: %v, want fs.ErrPermission that says so", what, err)
		}
	}
	if _, err := blobstore.Open(s.URL(), blobstore.WithKey("not base64!")); err == nil || strings.Contains(err.Error(), "not base64!") {
		t.Errorf("Open with a malformed key: %v, want an error without the key", err)
	}
	wantKeys(t, s, "there")
}

// testContainerGone removes the container in the middle of a Put.
func testContainerGone(t *testing.T, server *azurite.Server, s *blobstore.Store) {
	put(t, s, "there", "x")
	part := make([]byte, mib)
	err := s.Put(t.Context(), "k", store.Source(func(w io.Writer) error {
		for i := range 40 {
			if i == 20 {
				if err := s.Remove(t.Context()); err != nil {
					return err
				}
			}
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
		return nil
	}))
	wantGone(t, "Put while the container is deleted", err)
	for what, f := range operations(s) {
		if what != "CopyFrom" { // which is done by other means then
			wantGone(t, what, f(t.Context()))
		}
	}
	if err := s.Remove(t.Context()); err != nil {
		t.Errorf("Remove of what is gone: %v", err)
	}
	for range 2 {
		if err := s.Create(t.Context()); err != nil {
			t.Errorf("Create: %v", err)
		}
	}
	wantKeys(t, s)
}

func wantGone(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, blobstore.ErrNoContainer) || errors.Is(err, fs.ErrNotExist) || store.IsTransient(err) {
		t.Errorf("%s: %v, want ErrNoContainer and not fs.ErrNotExist", what, err)
	}
}

// testNoSecret looks at every error that it can provoke.
func testNoSecret(t *testing.T, server *azurite.Server, s *blobstore.Store) {
	put(t, s, "there", "content")
	dead := httptest.NewServer(nil)
	dead.Close()
	secrets := map[string]string{"key": server.Key, "secret": "SECRET"}
	var mu sync.Mutex
	texts := map[string]string{}
	provoke := func(what string, err error) {
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			texts[what] = strings.Join(chain(err), "\n")
		}
	}
	var wg sync.WaitGroup
	var urls []string
	for name, url := range map[string]string{
		"refused":   "azblob://" + strings.TrimPrefix(dead.URL, "http://") + "/" + server.Account + "/container?protocol=http",
		"cut":       meddlingURL(t, server, s, func(*http.Request) int { return lost }),
		"forbidden": meddlingURL(t, server, s, func(*http.Request) int { return http.StatusForbidden }),
		"bad":       meddlingURL(t, server, s, func(*http.Request) int { return http.StatusBadRequest }),
		"missing":   meddlingURL(t, server, s, func(*http.Request) int { return http.StatusNotFound }),
		"conflict":  meddlingURL(t, server, s, func(*http.Request) int { return http.StatusConflict }),
		"away":      meddlingURL(t, server, s, func(*http.Request) int { return http.StatusServiceUnavailable }),
	} {
		urls = append(urls, url)
		tok := token(t, open(t, url, blobstore.WithKey(server.Key)), time.Hour, blobstore.Delete)
		u, err := neturl.Parse(tok)
		if err != nil {
			t.Fatal(err)
		}
		secrets["signature of "+name] = u.Query().Get("sig")
		w := open(t, url, blobstore.WithToken(tok))
		all := operations(w)
		all["Create"] = w.Create
		all["Remove"] = w.Remove
		all["Token"] = func(ctx context.Context) error {
			_, err := w.Token(ctx, time.Hour, blobstore.Read)
			return err
		}
		for what, f := range all {
			wg.Go(func() { provoke(name+" "+what, f(t.Context())) })
		}
		for i, bad := range []string{u.RawQuery, "SECRET", tok + "\x7f", strings.Replace(tok, "http", "ftp", 1)} {
			_, err := blobstore.Open(url, blobstore.WithToken(bad))
			if err == nil {
				t.Errorf("Open took a bad token")
			}
			provoke(fmt.Sprint(name, " bad token ", i), err)
			t.Setenv(blobstore.TokenVariable, bad)
			_, err = blobstore.Open(url)
			provoke(fmt.Sprint(name, " bad token in the environment ", i), err)
		}
		for i, bad := range []string{strings.Replace(url, "?", "?"+u.RawQuery+"&", 1), "azblob://user:SECRET@a/container", "azblob://a/c?sig=SECRET", "azblob://a\x7f?sig=SECRET"} {
			_, err := blobstore.Open(bad)
			if err == nil {
				t.Errorf("Open took a URL with a secret")
			}
			provoke(fmt.Sprint(name, " bad URL ", i), err)
			_, err = store.Open(t.Context(), bad)
			provoke(fmt.Sprint(name, " bad URL by store.Open ", i), err)
		}
	}
	wg.Wait()
	for what, text := range texts {
		for name, secret := range secrets {
			for _, form := range []string{secret, neturl.QueryEscape(secret), "sig="} {
				if strings.Contains(text, form) {
					t.Errorf("%s: the error has the %s: %s", what, name, text)
				}
			}
		}
	}
	if want := 15 * len(urls); len(texts) < want {
		t.Errorf("%d errors were provoked, want %d", len(texts), want)
	}
}

// chain is the texts of an error and of all that it wraps.
func chain(err error) []string {
	all := []string{fmt.Sprintf("%v %+v", err, err)}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		if inner := err.Unwrap(); inner != nil {
			all = append(all, chain(inner)...)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range err.Unwrap() {
			all = append(all, chain(inner)...)
		}
	}
	return all
}

func TestURL(t *testing.T) {
	for url, want := range map[string]string{
		"azblob://acct/container":                               "azblob://acct.blob.core.windows.net/container",
		"azblob://ACCT/container/":                              "azblob://acct.blob.core.windows.net/container",
		"azblob://acct.blob.core.windows.net/container":         "azblob://acct.blob.core.windows.net/container",
		"azblob://acct.blob.core.chinacloudapi.cn/ab-":          "",
		"azblob://acct.blob.core.chinacloudapi.cn/a-bc":         "azblob://acct.blob.core.chinacloudapi.cn/a-bc",
		"azblob://127.0.0.1:10000/acct/container?protocol=http": "azblob://127.0.0.1:10000/acct/container?protocol=http",
		"azblob://localhost/acct/container?protocol=https":      "azblob://localhost/acct/container",
		"azblob://acct":                                          "",
		"azblob://acct/":                                         "",
		"azblob://acct/a/b":                                      "",
		"azblob://acct/Container":                                "",
		"azblob://acct/con--tainer":                              "",
		"azblob://acct/con..tainer":                              "",
		"azblob://127.0.0.1:10000/container":                     "",
		"azblob://acct/container?protocol=ftp":                   "",
		"azblob://acct/container?domain=elsewhere.example":       "",
		"azblob:container":                                       "",
		"https://acct.blob.core.windows.net/container":           "",
		"azblob:///container":                                    "",
		"azblob://acct/" + strings.Repeat("a", 64):               "",
		"azblob://acct/" + strings.Repeat("a", 63):               "azblob://acct.blob.core.windows.net/" + strings.Repeat("a", 63),
		"azblob://acct.blob.core.windows.net/container#fragment": "",
	} {
		s, err := blobstore.Open(url)
		switch {
		case err == nil && s.URL() != want:
			t.Errorf("Open(%s) is %s, want %q", url, s.URL(), want)
		case err != nil && want != "":
			t.Errorf("Open(%s): %v", url, err)
		case err == nil && want != "":
			if again, err := store.Open(t.Context(), s.URL()); err != nil || again.URL() != s.URL() {
				t.Errorf("Open(%s) again: %v, %v", s.URL(), again, err)
			}
		}
	}
	for _, scheme := range []string{"s3", "gs"} {
		if _, err := store.Open(t.Context(), scheme+"://bucket"); err == nil || !strings.Contains(err.Error(), `import _ "gocloud.dev/blob/`) {
			t.Errorf("Open(%s://bucket) = %v, want an error that says what to import", scheme, err)
		}
	}
}

// TestRefused: answers that Azurite does not give, and what people are told.
func TestRefused(t *testing.T) {
	for _, test := range []struct {
		name, code string
		status     int
		ahead      time.Duration // the clock of the service
		do         func(s *blobstore.Store) error
		is         error
		want       string
	}{
		{"a wrong clock", "AuthenticationFailed", http.StatusForbidden, 2 * time.Hour, get, fs.ErrPermission, "the clock of this machine"},
		{"a firewall", "AuthorizationFailure", http.StatusForbidden, 0, get, fs.ErrPermission, "certain networks only"},
		{"a container that is being deleted", "ContainerBeingDeleted", http.StatusConflict, 0, func(s *blobstore.Store) error { return s.Create(t.Context()) }, blobstore.ErrNoContainer, "try again"},
	} {
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", time.Now().Add(test.ahead).UTC().Format(http.TimeFormat))
			w.Header().Set("x-ms-error-code", test.code)
			w.WriteHeader(test.status)
		}))
		s := open(t, url(front.URL+"/acct", "container"), blobstore.WithKey("a2V5"))
		if err := test.do(s); !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want an error that says %q", test.name, err, test.want)
		}
		front.Close()
	}
}

func get(s *blobstore.Store) error {
	_, err := s.Get(context.Background(), "k")
	return err
}
