package auth

import (
	"crypto/hmac"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

// skew is how far from now the date of a signed request may be.
const skew = 15 * time.Minute

// A Verifier lets requests pass that prove that they may. It goes by the clock of the machine: so do clients.
type Verifier struct {
	account string
	key     Key
	issuer  *Issuer
}

// NewVerifier returns the verifier of an account.
func NewVerifier(account string, k Key, i *Issuer) *Verifier {
	return &Verifier{account: account, key: k, issuer: i}
}

// Handler passes requests on to next that Verify accepts, and answers the others.
func (v *Verifier) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := v.Verify(r); err != nil {
			wire.Error(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Verify checks the Authorization of a request. The error is an *apierror.Error; it contains neither key nor token.
func (v *Verifier) Verify(r *http.Request) error {
	header := r.Header.Get("Authorization")
	scheme, what, ok := strings.Cut(header, " ")
	switch {
	case header == "":
		return failed("The request has no Authorization header.")
	case ok && strings.EqualFold(scheme, "SharedKey"):
		return v.sharedKey(r, strings.TrimSpace(what))
	case ok && strings.EqualFold(scheme, "Bearer"):
		return v.bearer(r, strings.TrimSpace(what))
	default:
		return apierror.New(apierror.InvalidAuthenticationInfo)
	}
}

func (v *Verifier) sharedKey(r *http.Request, what string) error {
	account, signature, ok := strings.Cut(what, ":")
	if !ok {
		return apierror.New(apierror.InvalidAuthenticationInfo)
	}
	if account != v.account {
		return failed(fmt.Sprintf("The request is signed for the account %q, and this is the account %q.", account, v.account))
	}
	date := r.Header.Get("ocp-date")
	if date == "" {
		date = r.Header.Get("Date")
	}
	t, err := http.ParseTime(date)
	if err != nil {
		return failed("The Date header in the request is incorrect.")
	}
	if d := time.Since(t); d > skew {
		return failed(fmt.Sprintf("Request date header too old: '%s'", date))
	} else if d < -skew {
		return failed(fmt.Sprintf("Request date header too far in the future: '%s'", date))
	}
	got, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		return apierror.New(apierror.InvalidAuthenticationInfo)
	}
	forms := stringsToSign(r, v.account)
	for _, form := range forms {
		if hmac.Equal(got, v.key.mac(form)) {
			return nil
		}
	}
	return failed(fmt.Sprintf("The MAC signature found in the HTTP request '%s' is not the same as any computed signature. "+
		"Server used following string to sign: '%s'.", signature, forms[0]))
}

func (v *Verifier) bearer(r *http.Request, token string) error {
	c, refused := v.issuer.check(token)
	if refused != "" {
		e := failed(refused)
		e.Message = "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly."
		return e
	}
	if c.Job != "" && !below(r.URL.Path, "/jobs/"+c.Job) {
		return apierror.New(apierror.InsufficientAccountPermissions)
	}
	return nil
}

// below tells whether a path is of a resource or of something in it. IDs are the same in any case.
func below(path, resource string) bool {
	if len(path) < len(resource) || !strings.EqualFold(path[:len(resource)], resource) {
		return false
	}
	return len(path) == len(resource) || path[len(resource)] == '/'
}

func failed(detail string) *apierror.Error {
	return apierror.New(apierror.AuthenticationFailed).With("AuthenticationErrorDetail", detail)
}
