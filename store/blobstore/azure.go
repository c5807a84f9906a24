package blobstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/service"
	"gocloud.dev/blob/azureblob"

	"github.com/clusterless-go/clusterless/internal/azwait"
)

// azure is the container of a store.
type azure struct {
	place
	credentials
	given  options
	client *container.Client

	mu         sync.Mutex
	delegation *service.UserDelegationCredential // for links
	until      time.Time                         // it is good
}

// place says where a container is.
type place struct {
	endpoint  string // https://HOST, or http://HOST:PORT/ACCOUNT
	account   string
	container string
}

func (p place) containerURL() string { return p.endpoint + "/" + p.container }

// An Option gives [Open] what it does not find in the environment, or should not.
type Option func(*options)

type options struct {
	key        string
	token      string
	credential azcore.TokenCredential
	transport  *http.Transport
}

// WithKey uses a key of the account, in base64.
func WithKey(key string) Option { return func(o *options) { o.key = key } }

// WithToken uses a token that [Store.Token] has made, or any URL of the container with a shared access signature in it.
func WithToken(token string) Option { return func(o *options) { o.token = token } }

// WithCredential uses a credential of azidentity, or any other for the scope https://storage.azure.com/.default.
func WithCredential(c azcore.TokenCredential) Option { return func(o *options) { o.credential = c } }

// Open opens the store that a URL of scheme azblob names. It sends no request.
func Open(rawURL string, opts ...Option) (*Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("blobstore: not a URL") // whose text may be a secret
	}
	return fromURL(u, opts...)
}

func fromURL(u *url.URL, opts ...Option) (*Store, error) {
	p, canonical, err := parse(u)
	if err != nil {
		return nil, fmt.Errorf("blobstore: %w", err)
	}
	a := &azure{place: p, given: options{transport: defaultTransport()}}
	for _, o := range opts {
		o(&a.given)
	}
	if err := a.connect(); err != nil {
		return nil, fmt.Errorf("blobstore: open %s: %w", canonical, err)
	}
	bucket, err := azureblob.OpenBucket(context.Background(), a.client, nil) // which sends nothing
	if err != nil {
		return nil, fmt.Errorf("blobstore: open %s: %w", canonical, err)
	}
	return &Store{bucket: bucket, url: canonical, azure: a}, nil
}

// isContainerName checks a name.
// https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata
func isContainerName(name string) bool {
	if len(name) < 3 || len(name) > 63 || strings.Trim(name, "-") != name || strings.Contains(name, "--") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// parse finds out what a URL names, and how it is written.
func parse(u *url.URL) (p place, canonical string, err error) {
	if u.Scheme != "azblob" || u.Opaque != "" || u.Host == "" {
		return p, "", errors.New("not the URL of a container; write azblob://ACCOUNT/CONTAINER")
	}
	query := u.Query()
	protocol := query.Get("protocol")
	query.Del("protocol")
	if len(query) > 0 || u.User != nil || u.Fragment != "" {
		return p, "", errors.New("the URL of a store has no parameter but protocol=http, and no secret: a token goes into " + TokenVariable)
	}
	if protocol == "" {
		protocol = "https"
	}
	if protocol != "https" && protocol != "http" {
		return p, "", fmt.Errorf("protocol %q in the URL of a store: it is https or http", protocol)
	}
	host, parts := strings.ToLower(u.Host), strings.Split(strings.Trim(u.Path, "/"), "/")
	if !strings.ContainsAny(host, ".:") && host != "localhost" {
		host += ".blob.core.windows.net"
	}
	p.endpoint = protocol + "://" + host
	p.account, _, _ = strings.Cut(host, ".")
	// An emulator has the account in the path, since there is no name for it in the network.
	if host == "localhost" || u.Port() != "" || net.ParseIP(u.Hostname()) != nil {
		p.account = parts[0]
		p.endpoint += "/" + p.account
		parts = parts[1:]
	}
	if len(parts) != 1 || !isContainerName(parts[0]) || p.account == "" {
		return p, "", errors.New("not the name of a container (3 to 63 small letters, digits and single hyphens); write azblob://ACCOUNT/CONTAINER")
	}
	p.container = parts[0]
	return p, p.storeURL(), nil
}

// storeURL is the URL of the store, as it is written.
func (p place) storeURL() string {
	if rest, plain := strings.CutPrefix(p.containerURL(), "http:"); plain {
		return "azblob:" + rest + "?protocol=http"
	}
	return "azblob" + strings.TrimPrefix(p.containerURL(), "https")
}

// clientOptions are those of every client of the SDK.
func (a *azure) clientOptions() azcore.ClientOptions {
	return azcore.ClientOptions{
		Telemetry:        policy.TelemetryOptions{ApplicationID: "clusterless"},
		Transport:        &http.Client{Transport: guard{a.given.transport}},
		Retry:            policy.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 10 * time.Second},
		PerCallPolicies:  []policy.Policy{watchUploads{}},
		PerRetryPolicies: []policy.Policy{azwait.Policy{Service: "Azure Storage"}},
	}
}

// Create makes the container, for its owner only. One that is there is no error.
func (s *Store) Create(ctx context.Context) error {
	if s.azure == nil {
		return s.wrap("create", "", errors.ErrUnsupported)
	}
	_, err := s.azure.client.Create(ctx, &container.CreateOptions{Metadata: madeNow()})
	if err == nil || bloberror.HasCode(err, bloberror.ContainerAlreadyExists) {
		return nil
	}
	return s.fail(ctx, "create", "", err)
}

// Remove deletes the container and all that is in it. One that is not there is no error. For half a minute afterwards, Azure
// makes no container of that name.
func (s *Store) Remove(ctx context.Context) error {
	if s.azure == nil {
		return s.wrap("remove", "", errors.ErrUnsupported)
	}
	_, err := s.azure.client.Delete(ctx, nil)
	if err == nil || bloberror.HasCode(err, bloberror.ContainerNotFound, bloberror.ContainerBeingDeleted) {
		return nil
	}
	return s.fail(ctx, "remove", "", err)
}
