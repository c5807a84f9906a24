package auth_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"
	"github.com/golang-jwt/jwt/v5"

	"github.com/clusterless-go/clusterless/emulator/internal/auth"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

const account = "myaccount"

// service is a server that lists no pools to whoever may ask.
type service struct {
	*httptest.Server
	key    auth.Key
	issuer *auth.Issuer
}

func serve(t *testing.T) *service {
	t.Helper()
	s := &service{key: auth.NewKey()}
	s.issuer = auth.NewIssuer(s.key)
	checked := auth.NewVerifier(account, s.key, s.issuer).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wire.JSON(w, r, http.StatusOK, map[string]any{"value": []any{}})
	}))
	mux := http.NewServeMux()
	mux.Handle("/identity/token", s.issuer.Handler())
	mux.Handle("/", wire.Handler(checked, slog.New(slog.DiscardHandler)))
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// environ sets the variables that a client is given, and unsets others by which a credential could be found.
func (s *service) environ(t *testing.T) {
	for _, k := range []string{"AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_TOKEN_CREDENTIALS"} {
		t.Setenv(k, "")
		os.Unsetenv(k) // t.Setenv puts it back
	}
	for _, e := range s.issuer.Environ(s.URL + "/identity/token") {
		k, v, _ := strings.Cut(e, "=")
		t.Setenv(k, v)
	}
}

// do sends a request and returns status, code and the detail of a failed authentication.
func do(t *testing.T, r *http.Request) (status int, code, detail string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var e struct {
		Code   string
		Values []struct{ Key, Value string }
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	for _, v := range e.Values {
		if v.Key == "AuthenticationErrorDetail" {
			detail = v.Value
		}
	}
	return resp.StatusCode, e.Code, detail
}

func get(t *testing.T, url string, header ...string) *http.Request {
	t.Helper()
	return request(t, http.MethodGet, url, "", header...)
}

func request(t *testing.T, method, url, body string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func TestDefaultAzureCredential(t *testing.T) {
	s := serve(t)
	s.environ(t)
	cred, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		t.Fatal(err)
	}
	client, err := azbatch.NewClient(s.URL, cred, &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{InsecureAllowCredentialWithHTTP: true}})
	if err != nil {
		t.Fatal(err)
	}
	pages := client.NewListPoolsPager(nil)
	if _, err := pages.NextPage(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestIdentityEndpoint(t *testing.T) {
	s := serve(t)
	env := map[string]string{}
	for _, e := range s.issuer.Environ(s.URL + "/identity/token") {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	const resource = "?api-version=2019-08-01&resource=https%3A%2F%2Fstorage.azure.com"
	for _, test := range []struct {
		name, method, query, header string
		want                        int
	}{
		{"no header", "GET", resource, "", 401},
		{"wrong header", "GET", resource, "guess", 401},
		{"no resource", "GET", "?api-version=2019-08-01", env["IDENTITY_HEADER"], 400},
		{"POST", "POST", resource, env["IDENTITY_HEADER"], 405},
		{"right", "GET", resource, env["IDENTITY_HEADER"], 200},
	} {
		if status, _, _ := do(t, request(t, test.method, env["IDENTITY_ENDPOINT"]+test.query, "", "X-IDENTITY-HEADER", test.header)); status != test.want {
			t.Errorf("%s: got %d, want %d", test.name, status, test.want)
		}
	}

	s.environ(t)
	cred, err := azidentity.NewManagedIdentityCredential(&azidentity.ManagedIdentityCredentialOptions{ID: azidentity.ClientID("00000000-0000-0000-0000-000000000001")})
	if err != nil {
		t.Fatal(err)
	}
	token, err := cred.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{"https://batch.core.windows.net//.default"}})
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(token.ExpiresOn); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("the token holds for %v, want a day", left)
	}
	if status, code, detail := do(t, get(t, s.URL+"/pools", "Authorization", "Bearer "+token.Token)); status != 200 {
		t.Errorf("got %d %s %s", status, code, detail)
	}
}

func TestBearer(t *testing.T) {
	s := serve(t)
	token := func(audience string, lifetime time.Duration) string {
		s.issuer.SetLifetime(lifetime)
		defer s.issuer.SetLifetime(auth.DefaultLifetime)
		token, _, err := s.issuer.Token(audience)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	task, err := s.issuer.TaskToken("job-1")
	if err != nil {
		t.Fatal(err)
	}
	stranger, _, err := auth.NewIssuer(auth.NewKey()).Token(auth.Audience)
	if err != nil {
		t.Fatal(err)
	}
	unsigned, err := jwt.NewWithClaims(jwt.SigningMethodNone, jwt.MapClaims{"aud": auth.Audience, "exp": 4e9}).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	good := token(auth.Audience, time.Hour)
	again, _, err := auth.NewIssuer(s.key).Token(auth.Audience) // of an emulator that was started again
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, token, path string
		status            int
		code, detail      string
	}{
		{"good", good, "/pools", 200, "", ""},
		{"of the same key", again, "/pools", 200, "", ""},
		{"expired", token(auth.Audience, -time.Second), "/pools", 403, "AuthenticationFailed", "Lifetime validation failed. The token is expired."},
		{"no slash", token("https://batch.core.windows.net", time.Hour), "/pools", 403, "AuthenticationFailed", "wrong audience or resource 'https://batch.core.windows.net'."},
		{"of a stranger", stranger, "/pools", 403, "AuthenticationFailed", "Signature validation failed"},
		{"unsigned", unsigned, "/pools", 403, "AuthenticationFailed", "Signature validation failed"},
		{"cut", good[:len(good)-2], "/pools", 403, "AuthenticationFailed", ""},
		{"no token", "secret", "/pools", 403, "AuthenticationFailed", "malformed"},
		{"empty", "", "/pools", 400, "InvalidAuthenticationInfo", ""},
		{"task on its job", task, "/jobs/job-1", 200, "", ""},
		{"task in its job", task, "/jobs/JOB-1/tasks/x", 200, "", ""},
		{"task on another job", task, "/jobs/job-10", 403, "InsufficientAccountPermissions", ""},
		{"task on pools", task, "/pools", 403, "InsufficientAccountPermissions", ""},
		{"task on jobs", task, "/jobs", 403, "InsufficientAccountPermissions", ""},
	} {
		status, code, detail := do(t, get(t, s.URL+test.path, "Authorization", "Bearer "+test.token))
		if status != test.status || code != test.code || !strings.Contains(detail, test.detail) || test.token != "" && strings.Contains(detail, test.token) {
			t.Errorf("%s: got %d %s %q, want %d %s %q", test.name, status, code, detail, test.status, test.code, test.detail)
		}
	}
}

// TestTokenExpires uses a token until it no longer holds.
func TestTokenExpires(t *testing.T) {
	s := serve(t)
	s.issuer.SetLifetime(2 * time.Second)
	token, expires, err := s.issuer.Token(auth.Audience)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		before := time.Now()
		status, _, detail := do(t, get(t, s.URL+"/pools", "Authorization", "Bearer "+token))
		if status == 403 && strings.Contains(detail, "expired") {
			if before := time.Now(); before.Before(expires.Truncate(time.Second)) {
				t.Errorf("the token expired %v early", expires.Sub(before))
			}
			return
		}
		if status != 200 || before.After(expires) || time.Now().After(deadline) {
			t.Fatalf("%v after its end the token gets %d %s", time.Since(expires), status, detail)
		}
	}
}

func TestSharedKey(t *testing.T) {
	s := serve(t)
	sign := func(r *http.Request) *http.Request { auth.Sign(r, account, s.key); return r }
	const jsonType = "application/json; odata=minimalmetadata; charset=utf-8" // with the charset that the Azure CLI adds
	for name, r := range map[string]*http.Request{
		"GET":             sign(get(t, s.URL+"/jobs/a/tasks?api-version=2022-10-01.16.0&$filter=state+eq+%27x%27&maxresults=5&timeout=30&empty=")),
		"POST":            sign(request(t, "POST", s.URL+"/jobs?api-version=2024-07-01.20.0", `{"id":"ü"}`, "Content-Type", jsonType)),
		"POST of nothing": sign(request(t, "POST", s.URL+"/jobs/a/enable?api-version=2024-07-01.20.0", "")),
		"DELETE":          sign(request(t, "DELETE", s.URL+"/jobs/a?api-version=2024-07-01.20.0", "")),
		"conditions":      sign(request(t, "PATCH", s.URL+"/jobs/a", "{}", "If-Match", "0x1", "If-Unmodified-Since", "Fri, 17 Feb 2017 00:00:00 GMT")),
		"ocp headers":     sign(get(t, s.URL+"/jobs/a/tasks/t/files/wd%2Fx.txt", "ocp-range", "bytes=0-9", "Range", "bytes=0-9")),
		"file":            sign(get(t, s.URL+"/pools/p/nodes/n/files/startup%2Fwd%2Fa%20b.txt?timeOut=3")),
	} {
		if status, code, detail := do(t, r); status != 200 {
			t.Errorf("%s: got %d %s: %s", name, status, code, detail)
		}
	}
}

// TestSharedKeyAsOthersSign makes signatures by hand from strings that Microsoft's clients sign.
func TestSharedKeyAsOthersSign(t *testing.T) {
	s := serve(t)
	now := time.Now().UTC().Format(http.TimeFormat)
	secret, err := base64.StdEncoding.DecodeString(s.key.Base64())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, path, text string
		header           []string
	}{
		{"documented", "/jobs?timeout=20&api-version=2019-08-01.10.0",
			"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:" + now + "\n/myaccount/jobs\napi-version:2019-08-01.10.0\ntimeout:20", []string{"ocp-date", now}},
		{"Date", "/jobs", "GET\n\n\n\n\n\n" + now + "\n\n\n\n\n\n/myaccount/jobs", []string{"Date", now}},
		{"Date and ocp-date, as documented", "/jobs", "GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:" + now + "\n/myaccount/jobs", []string{"ocp-date", now, "Date", "x"}},
		{"Date and ocp-date, as in Python", "/jobs", "GET\n\n\n\n\n\nx\n\n\n\n\n\nocp-date:" + now + "\n/myaccount/jobs", []string{"ocp-date", now, "Date", "x"}},
		{"older Python: unescaped slashes", "/jobs/a/tasks/t/files/wd%2Fa%20b",
			"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:" + now + "\n/myaccount/jobs/a/tasks/t/files/wd/a%20b", []string{"ocp-date", now}},
		{"path unescaped", "/jobs/a/tasks/t/files/wd%2Fa%20b",
			"GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:" + now + "\n/myaccount/jobs/a/tasks/t/files/wd/a b", []string{"ocp-date", now}},
		{"names lowered", "/jobs?timeOut=20", "GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:" + now + "\n/myaccount/jobs\ntimeout:20", []string{"ocp-date", now}},
		{"names as sent", "/jobs?timeOut=20", "GET\n\n\n\n\n\n\n\n\n\n\n\nocp-date:" + now + "\n/myaccount/jobs\ntimeOut:20", []string{"ocp-date", now}},
	} {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(test.text))
		r := get(t, s.URL+test.path, test.header...)
		r.Header.Set("Authorization", "SharedKey myaccount:"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
		if status, _, detail := do(t, r); status != 200 {
			t.Errorf("%s: got %d: %s", test.name, status, detail)
		}
	}
}

func TestSharedKeyRefused(t *testing.T) {
	s := serve(t)
	at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	signed := func(change func(*http.Request), header ...string) *http.Request {
		r := get(t, s.URL+"/pools?api-version=2024-07-01.20.0", header...)
		auth.Sign(r, account, s.key)
		change(r)
		return r
	}
	as := func(account string, k auth.Key) *http.Request {
		r := get(t, s.URL+"/pools")
		auth.Sign(r, account, k)
		return r
	}
	same := func(*http.Request) {}
	for _, test := range []struct {
		name         string
		r            *http.Request
		status       int
		code, detail string
	}{
		{"nothing", get(t, s.URL+"/pools"), 403, "AuthenticationFailed", "no Authorization"},
		{"another key", as(account, auth.NewKey()), 403, "AuthenticationFailed", "Server used following string to sign: 'GET\n\n\n"},
		{"another account", as("other", s.key), 403, "AuthenticationFailed", `"other"`},
		{"another path", signed(func(r *http.Request) { r.URL.Path = "/jobs" }), 403, "AuthenticationFailed", "/myaccount/jobs"},
		{"another method", signed(func(r *http.Request) { r.Method = "DELETE" }), 403, "AuthenticationFailed", "'DELETE\n"},
		{"another query", signed(func(r *http.Request) { r.URL.RawQuery += "&x=1" }), 403, "AuthenticationFailed", "x:1"},
		{"another header", signed(func(r *http.Request) { r.Header.Set("If-Match", "*") }), 403, "AuthenticationFailed", "\n*\n"},
		{"another ocp header", signed(func(r *http.Request) { r.Header.Set("ocp-range", "bytes=0-1") }), 403, "AuthenticationFailed", "ocp-range:bytes=0-1"},
		{"no date", signed(func(r *http.Request) { r.Header.Del("ocp-date") }), 403, "AuthenticationFailed", "Date header in the request is incorrect"},
		{"no real date", signed(same, "ocp-date", "2024-05-06T12:00:00Z"), 403, "AuthenticationFailed", "Date header in the request is incorrect"},
		{"14 minutes old", signed(same, "ocp-date", at(-14*time.Minute)), 200, "", ""},
		{"14 minutes early", signed(same, "ocp-date", at(14*time.Minute)), 200, "", ""},
		{"16 minutes old", signed(same, "ocp-date", at(-16*time.Minute)), 403, "AuthenticationFailed", "too old"},
		{"16 minutes early", signed(same, "ocp-date", at(16*time.Minute)), 403, "AuthenticationFailed", "future"},
		{"no colon", get(t, s.URL+"/pools", "Authorization", "SharedKey x"), 400, "InvalidAuthenticationInfo", ""},
		{"no base64", get(t, s.URL+"/pools", "Authorization", "SharedKey myaccount:%%%", "ocp-date", at(0)), 400, "InvalidAuthenticationInfo", ""},
		{"no signature", get(t, s.URL+"/pools", "Authorization", "SharedKey myaccount:", "ocp-date", at(0)), 403, "AuthenticationFailed", "not the same"},
		{"Basic", get(t, s.URL+"/pools", "Authorization", "Basic eDp5"), 400, "InvalidAuthenticationInfo", ""},
		{"a word", get(t, s.URL+"/pools", "Authorization", "SharedKey"), 400, "InvalidAuthenticationInfo", ""},
	} {
		status, code, detail := do(t, test.r)
		if status != test.status || code != test.code || !strings.Contains(detail, test.detail) {
			t.Errorf("%s: got %d %s %q, want %d %s %q", test.name, status, code, detail, test.status, test.code, test.detail)
		}
		if strings.Contains(detail, s.key.Base64()) {
			t.Errorf("%s: the answer contains the key", test.name)
		}
	}
}

func TestKeyDoesNotShowItself(t *testing.T) {
	k := auth.NewKey()
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "in", struct{ K auth.Key }{k})
	asJSON, err := json.Marshal(struct{ K auth.Key }{k})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d %s %s", k, k, k, k, k, []any{k}, k, log.String(), asJSON)
	raw, err := base64.StdEncoding.DecodeString(k.Base64())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{k.Base64(), string(raw), fmt.Sprintf("%x", raw), fmt.Sprint(raw)} {
		if strings.Contains(all, secret[:20]) {
			t.Errorf("the key shows itself in %s", all)
		}
	}
	back, err := auth.ParseKey(k.Base64())
	if err != nil || back.Base64() != k.Base64() {
		t.Errorf("the key read back is another (%v)", err)
	}
	for _, bad := range []string{"", "secret!"} {
		if _, err := auth.ParseKey(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("ParseKey(%q): %v", bad, err)
		}
	}
}

// FuzzAuthorization guesses: nothing that was not made with the key is let in.
func FuzzAuthorization(f *testing.F) {
	f.Add("SharedKey myaccount:AAAA", "/pools", "Fri, 17 Feb 2017 00:00:00 GMT")
	f.Add("Bearer eyJhbGciOiJub25lIn0.e30.", "/jobs/a%2Fb?x=1&x=2", "")
	f.Add("bearer", "/?=", "x")
	key := auth.NewKey()
	v := auth.NewVerifier(account, key, auth.NewIssuer(key))
	f.Fuzz(func(t *testing.T, authorization, target, date string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u, Header: http.Header{"Authorization": {authorization}, "Ocp-Date": {date}}}
		if v.Verify(r) == nil {
			t.Errorf("%q is let in", authorization)
		}
	})
}
