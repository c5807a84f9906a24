package blobstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	neturl "net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/golang-jwt/jwt/v5"

	"github.com/clusterless-go/clusterless/internal/azurite"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// TestIdentity uses a credential of Entra ID, as a client that is logged in and a node with a managed identity do, and the
// tokens that are made with it. Azurite looks at a bearer token's claims, not at its signature.
func TestIdentity(t *testing.T) {
	cert, key, roots := certificate(t)
	server := azurite.Start(t, "--oauth", "basic", "--cert", cert, "--key", key)
	url := "azblob" + strings.TrimPrefix(server.Endpoint, "https") + "/identity"
	s := open(t, url, blobstore.WithCredential(identity{}), blobstore.WithRoots(roots))
	if err := s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	put(t, s, "k", "content")
	wantBlob(t, s, "k", "content")

	// That the service takes this token is not tested: what the SDK (of API version 2026-12-06) signs has two fields more than
	// Azurite 3.35 knows of.
	tok, err := neturl.Parse(token(t, s, time.Hour, blobstore.Write))
	if err != nil {
		t.Fatal(err)
	}
	q := tok.Query()
	for field, want := range map[string]string{"sr": "c", "sp": "rcwl", "spr": "https", "sks": "b", "skoid": person} {
		if q.Get(field) != want {
			t.Errorf("the token has %s=%s, want %s", field, q.Get(field), want)
		}
	}
	for _, field := range []string{"se", "ske"} {
		if end, err := time.Parse(time.RFC3339, q.Get(field)); err != nil || time.Until(end) > time.Hour || time.Until(end) < 50*time.Minute {
			t.Errorf("the token has %s=%s, want an hour from now", field, q.Get(field))
		}
	}
	if again := token(t, s, time.Minute, blobstore.Write); !strings.Contains(again, "skt="+neturl.QueryEscape(q.Get("skt"))) {
		t.Error("a second token was made by a key of its own")
	}
	if _, err := s.Token(t.Context(), 8*24*time.Hour, blobstore.Write); err == nil || !strings.Contains(err.Error(), "168h") {
		t.Errorf("Token for 8 days: %v, want an error that says how many there are", err)
	}
	copied := open(t, url+"-copy", blobstore.WithCredential(identity{}), blobstore.WithRoots(roots))
	if err := copied.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	signed, err := s.SignedURL(t.Context(), "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := copied.CopyFrom(t.Context(), "k", signed); err != nil {
		t.Errorf("CopyFrom: %v", err)
	}
	wantBlob(t, copied, "k", "content")
	if err := s.Remove(t.Context()); err != nil {
		t.Error(err)
	}
}

const person = "11059fcc-5514-4800-b5f8-49808b9cfab6"

// identity is somebody who is logged in.
type identity struct{}

func (identity) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	now := time.Now()
	claims := jwt.MapClaims{"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
		"iat": now.Unix() - 60, "nbf": now.Unix() - 60, "exp": now.Unix() + 3600,
		"oid": person, "tid": "ab1f708d-50f6-404c-a006-d71b2ac7a606"}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("nobody looks at it"))
	return azcore.AccessToken{Token: signed, ExpiresOn: now.Add(time.Hour)}, err
}

// certificate makes one for a server on this machine.
func certificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(c)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), roots
}
