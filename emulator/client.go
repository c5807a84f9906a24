package emulator

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/emulator/internal/auth"
)

// URL is the account's endpoint, as "http://127.0.0.1:41234".
func (s *Server) URL() string { return s.url }

// Account is the account's name.
func (s *Server) Account() string { return s.account }

// Key is the account's shared key in base64. It is a secret: who has it can run commands.
func (s *Server) Key() string { return s.key.Base64() }

// CAFile is the certificate of the authority that a client of https has to trust, as by SSL_CERT_FILE; empty for http.
func (s *Server) CAFile() string {
	if s.bundle == nil {
		return ""
	}
	return s.bundle.CAFile
}

// Environ are the variables with which azidentity.DefaultAzureCredential gets tokens for the account. They hold a secret.
func (s *Server) Environ() []string { return s.issuer.Environ(s.url + identityPath) }

// Credential is one that the account accepts, for Microsoft's clients.
func (s *Server) Credential() azcore.TokenCredential { return credential{s.issuer} }

type credential struct{ issuer *auth.Issuer }

func (c credential) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	token, expires, err := c.issuer.Token(auth.Audience)
	return azcore.AccessToken{Token: token, ExpiresOn: expires}, err
}

// ClientOptions are what azbatch.NewClient needs besides: it may send tokens over http, and trusts the certificate of https.
func (s *Server) ClientOptions() *azbatch.ClientOptions {
	return &azbatch.ClientOptions{ClientOptions: azcore.ClientOptions{InsecureAllowCredentialWithHTTP: true,
		Transport: s.HTTPClient()}}
}

// HTTPClient is a client that trusts the certificate. Its transport is its own.
func (s *Server) HTTPClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.MaxIdleConnsPerHost = 100
	if s.bundle != nil {
		t.TLSClientConfig = &tls.Config{RootCAs: s.bundle.CA}
	}
	return &http.Client{Transport: t}
}

// Sign signs a request with the account's shared key. Nothing that is signed may be changed afterwards.
func (s *Server) Sign(r *http.Request) { auth.Sign(r, s.account, s.key) }
