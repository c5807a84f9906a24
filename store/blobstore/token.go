package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"

	"github.com/clusterless-go/clusterless/internal/azlogin"
)

// TokenVariable is the environment variable with tokens that [Store.Token] has made, separated by spaces: one for each
// container that the process is to open. A token is sent to its own container only.
const TokenVariable = "CLUSTERLESS_STORE_TOKEN"

// Permission is what a token allows.
type Permission int

// Every token allows to read and to list.
const (
	Read   Permission = iota
	Write             // put as well: what a worker needs
	Delete            // and delete
)

// skew is how much the clocks of machines may differ: tokens begin so much in the past.
const skew = 15 * time.Minute

// maxDelegation is how long a token lives that is made without a key of the account: 7 days, as the service counts from where the token
// begins, and by its own clock.
// https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
const maxDelegation = 7*24*time.Hour - 2*skew

// credentials are what a container is opened with: one of the three.
type credentials struct {
	shared  *container.SharedKeyCredential
	token   *url.URL // of the container, with the signature
	expires time.Time
	bearer  azcore.TokenCredential
	from    string // where it was found, for people
}

// connect finds credentials and makes the client.
func (a *azure) connect() (err error) {
	if err := a.find(); err != nil {
		return err
	}
	opts := &container.ClientOptions{ClientOptions: a.clientOptions()}
	switch {
	case a.token != nil:
		a.client, err = container.NewClientWithNoCredential(a.token.String(), opts)
	case a.shared != nil:
		a.client, err = container.NewClientWithSharedKeyCredential(a.containerURL(), a.shared, opts)
	default:
		a.client, err = container.NewClient(a.containerURL(), a.bearer, opts)
	}
	return err
}

// find looks for credentials in the order that the package's comment gives.
func (a *azure) find() error {
	o := a.given
	switch {
	case o.token != "":
		ok, err := a.useToken(o.token, "the token that was given to Open")
		if err == nil && !ok {
			err = errors.New("the token that was given to Open is for another container")
		}
		return err
	case o.key != "":
		return a.useKey(o.key, "the account's key that was given to Open")
	case o.credential != nil:
		a.bearer, a.from = o.credential, "the credential that was given to Open"
		return nil
	}
	for token := range strings.FieldsSeq(os.Getenv(TokenVariable)) {
		if ok, err := a.useToken(token, "the token in "+TokenVariable); ok || err != nil {
			return err
		}
	}
	settings := map[string]string{}
	for part := range strings.SplitSeq(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), ";") {
		name, value, _ := strings.Cut(part, "=")
		settings[name] = value
	}
	if settings["AccountName"] == a.account && settings["AccountKey"] != "" {
		return a.useKey(settings["AccountKey"], "the account's key in AZURE_STORAGE_CONNECTION_STRING")
	}
	if key := os.Getenv("AZURE_STORAGE_KEY"); key != "" && os.Getenv("AZURE_STORAGE_ACCOUNT") == a.account {
		return a.useKey(key, "the account's key in AZURE_STORAGE_KEY")
	}
	key, credential, from, err := azlogin.Storage(a.account, a.endpoint)
	switch {
	case err != nil:
		return err
	case key.Reveal() != "":
		return a.useKey(key.Reveal(), from)
	case credential != nil:
		a.bearer, a.from = credential, from
		return nil
	}
	a.bearer, a.from = &defaultCredential{}, "DefaultAzureCredential"
	return nil
}

// useKey takes an account's key.
func (a *azure) useKey(key, from string) (err error) {
	a.from = from
	if a.shared, err = container.NewSharedKeyCredential(a.account, key); err != nil {
		return fmt.Errorf("%s is not base64", from) // without a part of it
	}
	return nil
}

// useToken takes a token if it is for this container.
func (a *azure) useToken(token, from string) (ok bool, err error) {
	u, err := url.Parse(token)
	if err != nil || u.Host == "" || u.Query().Get("sig") == "" {
		return false, fmt.Errorf("%s is not a URL of a container with a signature in it", from)
	}
	where := *u
	where.RawQuery = ""
	if strings.TrimSuffix(where.String(), "/") != a.containerURL() {
		return false, nil
	}
	a.token, a.from = u, from
	a.expires, _ = time.Parse(time.RFC3339, u.Query().Get("se"))
	return true, nil
}

// defaultCredential is azidentity's, made when it is first needed: a worker that uses a token has no use for it.
type defaultCredential struct {
	once sync.Once
	c    azcore.TokenCredential
	err  error
}

func (d *defaultCredential) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	d.once.Do(func() {
		d.c, d.err = azidentity.NewDefaultAzureCredential(nil)
	})
	if d.err != nil {
		return azcore.AccessToken{}, d.err
	}
	return d.c.GetToken(ctx, o)
}

// Token makes a token for this container alone, for as long as valid says, to be passed on in [TokenVariable]. It is a secret:
// whoever has it has the container. With a key of the account it is a service SAS; with a credential of Entra ID a user
// delegation SAS, which lives for 7 days at most and needs the role Storage Blob Delegator. A store that was itself opened by a
// token makes none.
func (s *Store) Token(ctx context.Context, valid time.Duration, p Permission) (string, error) {
	if s.azure == nil {
		return "", s.wrap("make a token", "", errors.ErrUnsupported)
	}
	a := s.azure
	if a.token != nil {
		return "", s.wrap("make a token", "", fmt.Errorf("it was itself opened by %s; a token is made with a credential or the account's key", a.from))
	}
	if valid <= 0 {
		return "", s.wrap("make a token", "", fmt.Errorf("valid for %v", valid))
	}
	may := sas.ContainerPermissions{Read: true, List: true, Create: p >= Write, Write: p >= Write, Delete: p >= Delete}
	query, err := a.sign(ctx, valid, sas.BlobSignatureValues{ContainerName: a.container, Permissions: may.String()})
	if err != nil {
		return "", s.fail(ctx, "make a token", "", err)
	}
	return a.containerURL() + "?" + query, nil
}

// sign makes a shared access signature.
func (a *azure) sign(ctx context.Context, valid time.Duration, v sas.BlobSignatureValues) (string, error) {
	now := time.Now().UTC()
	v.StartTime, v.ExpiryTime = now.Add(-skew), now.Add(valid)
	v.Protocol = sas.ProtocolHTTPS
	if strings.HasPrefix(a.endpoint, "http:") {
		v.Protocol = sas.ProtocolHTTPSandHTTP
	}
	if a.shared != nil {
		q, err := v.SignWithSharedKey(a.shared)
		return q.Encode(), err
	}
	d, err := a.delegate(ctx, now, valid)
	if err != nil {
		return "", err
	}
	q, err := v.SignWithUserDelegation(d)
	return q.Encode(), err
}

// delegate gets a key to sign with from the service, or uses the one it got before while that is good for long enough.
func (a *azure) delegate(ctx context.Context, now time.Time, valid time.Duration) (*service.UserDelegationCredential, error) {
	if valid > maxDelegation {
		return nil, permanent(fmt.Sprintf("a token without the account's key is valid for %v at most, not for %v", maxDelegation, valid))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.until.Before(now.Add(valid)) {
		client, err := service.NewClient(a.endpoint, a.bearer, &service.ClientOptions{ClientOptions: a.clientOptions()})
		if err != nil {
			return nil, err
		}
		start, end := now.Add(-skew), now.Add(valid)
		d, err := client.GetUserDelegationCredential(ctx, service.KeyInfo{
			Start: to.Ptr(start.Format(sas.TimeFormat)), Expiry: to.Ptr(end.Format(sas.TimeFormat)),
		}, nil)
		if err != nil {
			return nil, err
		}
		a.delegation, a.until = d, end
	}
	return a.delegation, nil
}

// permission says what a person can do when the service refuses a request.
func (a *azure) permission(resp *azcore.ResponseError) string {
	if a == nil {
		return ""
	}
	now := time.Now()
	if resp.RawResponse != nil {
		if t, err := http.ParseTime(resp.RawResponse.Header.Get("Date")); err == nil {
			if d := now.Sub(t).Round(time.Second); d.Abs() > skew {
				return fmt.Sprintf("the clock of this machine is %v off that of the service (%v): set it", d, t.UTC().Format(time.RFC3339))
			}
			now = t
		}
	}
	switch {
	case !a.expires.IsZero() && now.Add(time.Second).After(a.expires): // the service tells whole seconds
		return fmt.Sprintf("%s expired at %s: a job's tokens live as long as its time limit (the engine's setting lifetime), so give it a longer one, or make a new token",
			a.from, a.expires.Format(time.RFC3339))
	case a.token != nil:
		return a.from + " is not valid, or does not allow this: make a new one"
	case a.shared != nil:
		return a.from + " is not one of account " + a.account + ", or the account takes none"
	}
	return a.from + " needs the role Storage Blob Data Contributor on the container or its account, and to make tokens Storage Blob Delegator"
}

// noCredential says what a person can do when there is nothing to send a request with.
func (a *azure) noCredential() string {
	if a == nil {
		return ""
	}
	advice := "log in by az login, or run where there is a managed identity"
	if os.Getenv(TokenVariable) != "" {
		advice += "; " + TokenVariable + " is set, but has no token for this container"
	}
	return advice
}
