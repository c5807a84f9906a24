package blobstore_test

import (
	"context"
	"crypto/x509"
	neturl "net/url"
	"os"
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
	cert, key := azurite.Certificate(t)
	pem, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
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
	longest, err := neturl.Parse(token(t, s, 7*24*time.Hour-30*time.Minute, blobstore.Write))
	if err != nil {
		t.Fatal(err)
	}
	from, err1 := time.Parse(time.RFC3339, longest.Query().Get("skt"))
	to, err2 := time.Parse(time.RFC3339, longest.Query().Get("ske"))
	if err1 != nil || err2 != nil || to.Sub(from) > 7*24*time.Hour {
		t.Errorf("the longest token is signed by a key from %v to %v, which the service makes for 7 days at most", from, to)
	}
	if again := token(t, s, time.Minute, blobstore.Write); !strings.Contains(again, "skt="+neturl.QueryEscape(q.Get("skt"))) {
		t.Error("a second token was made by a key of its own")
	}
	if _, err := s.Token(t.Context(), 8*24*time.Hour, blobstore.Write); err == nil || !strings.Contains(err.Error(), "167h30m") {
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
