package auth

import (
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// Audience is the resource that tokens for Batch are made out to, in all of Azure. The slash at its end is part of it.
const Audience = "https://batch.core.windows.net/"

// DefaultLifetime is how long a token holds, as one of a managed identity does.
const DefaultLifetime = 24 * time.Hour

// An Issuer makes tokens and knows its own again. It signs with a key derived from the account's: an emulator that is
// started again with the same account key accepts the tokens that it gave out before. Safe for concurrent use.
type Issuer struct {
	key      []byte
	header   string // the secret of the identity endpoint
	tenant   string
	client   string
	lifetime atomic.Int64
}

// NewIssuer returns the issuer of an account.
func NewIssuer(k Key) *Issuer {
	i := &Issuer{key: k.derive("tokens"), header: hex.EncodeToString(k.derive("identity endpoint")),
		tenant: uuid.NewSHA1(uuid.NameSpaceURL, k.derive("tenant")).String(), client: uuid.NewSHA1(uuid.NameSpaceURL, k.derive("client")).String()}
	i.SetLifetime(DefaultLifetime)
	return i
}

// SetLifetime sets how long tokens hold that are issued from now on. With zero or less they are expired from the start.
func (i *Issuer) SetLifetime(d time.Duration) { i.lifetime.Store(int64(d)) }

// claims are what a token says.
type claims struct {
	jwt.RegisteredClaims
	Audience string `json:"aud"` // one, as Microsoft's tokens have it: a list is not what all that look at them expect
	Client   string `json:"appid,omitempty"`
	Tenant   string `json:"tid,omitempty"`
	Job      string `json:"job,omitempty"` // the only job that the bearer may touch
}

// Token issues a token for a resource, which may be any: Batch's is Audience. The token is a secret.
func (i *Issuer) Token(audience string) (token string, expires time.Time, err error) {
	return i.sign(audience, "")
}

// TaskToken issues a token with which a task may call the operations on its job, as a task gets it that asks for access to
// its job in authenticationTokenSettings.
func (i *Issuer) TaskToken(job string) (string, error) {
	token, _, err := i.sign(Audience, job)
	return token, err
}

func (i *Issuer) sign(audience, job string) (string, time.Time, error) {
	now := time.Now()
	expires := now.Add(time.Duration(i.lifetime.Load()))
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: i.issuer(), ID: uuid.NewString(), Subject: i.client,
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Audience: audience, Client: i.client, Tenant: i.tenant, Job: job,
	}).SignedString(i.key)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("auth: sign a token: %w", err)
	}
	return token, expires, nil
}

// issuer has the form of Microsoft's, which other emulators look at.
func (i *Issuer) issuer() string { return "https://sts.windows.net/" + i.tenant + "/" }

// check returns what a token for Batch says, or why it is refused: a text for the client that contains nothing of the token
// but its audience.
func (i *Issuer) check(token string) (c *claims, refused string) {
	c = &claims{}
	_, err := jwt.ParseWithClaims(token, c, func(*jwt.Token) (any, error) { return i.key, nil },
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}), jwt.WithIssuer(i.issuer()), jwt.WithExpirationRequired())
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return nil, "The access token is malformed."
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return nil, "Signature validation failed. The access token was not issued by this emulator for this account key."
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, "Lifetime validation failed. The token is expired."
	case err != nil:
		return nil, "The access token is invalid."
	case c.Audience != Audience:
		return nil, fmt.Sprintf("The access token has been obtained from wrong audience or resource '%s'. It should exactly match "+
			"(including forward slash) with one of the allowed audiences '%s'", c.Audience, Audience)
	}
	return c, ""
}

// Environ are the variables with which the credential classes of Microsoft's clients, DefaultAzureCredential among them,
// ask the handler that is served at a URL for tokens. They contain a secret, and belong in an environment only.
func (i *Issuer) Environ(endpoint string) []string {
	return []string{"IDENTITY_ENDPOINT=" + endpoint, "IDENTITY_HEADER=" + i.header}
}

// Handler serves the protocol by which an App Service gives a program the tokens of its managed identity:
// https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference
func (i *Issuer) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		resource := r.URL.Query().Get("resource")
		switch {
		case subtle.ConstantTimeCompare([]byte(r.Header.Get("X-IDENTITY-HEADER")), []byte(i.header)) != 1:
			refuse(w, http.StatusUnauthorized, "the header X-IDENTITY-HEADER is not what IDENTITY_HEADER says")
		case r.Method != http.MethodGet:
			refuse(w, http.StatusMethodNotAllowed, "tokens are to be had by GET")
		case resource == "":
			refuse(w, http.StatusBadRequest, "the query parameter resource is missing")
		default:
			token, expires, err := i.Token(resource)
			if err != nil {
				refuse(w, http.StatusInternalServerError, err.Error())
				return
			}
			reply(w, http.StatusOK, map[string]string{
				"access_token": token, "token_type": "Bearer", "resource": resource, "client_id": i.client,
				"expires_on": strconv.FormatInt(expires.Unix(), 10),
			})
		}
	})
}

func refuse(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]any{"statusCode": status, "message": message})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // an error is the client's absence
}
