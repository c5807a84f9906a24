package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/clusterless-go/clusterless/internal/spelling"
)

// An Opener opens the store that a URL names.
type Opener func(ctx context.Context, u *url.URL) (Store, error)

var (
	driversMu sync.RWMutex
	drivers   = map[string]Opener{}
)

// packages says what to import for a scheme that no driver has registered.
var packages = map[string]string{
	"file":   "filestore",
	"mem":    "memstore",
	"azblob": "blobstore",
	"s3":     "blobstore",
	"gs":     "blobstore",
}

// Register makes a driver known to [Open] under the scheme of its URLs. Drivers call it from init; a scheme that
// is taken panics.
func Register(scheme string, open Opener) {
	driversMu.Lock()
	defer driversMu.Unlock()
	if open == nil {
		panic("store: Register of scheme " + scheme + " without an opener")
	}
	if drivers[scheme] != nil {
		panic("store: scheme " + scheme + " is registered twice")
	}
	drivers[scheme] = open
}

// Open opens the store that rawURL names, with the driver of its scheme. The driver's package must be linked in.
// What follows a "?" is never shown in errors, as it may be a secret.
func Open(ctx context.Context, rawURL string) (Store, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var ue *url.Error // its text has the whole URL
		if errors.As(err, &ue) {
			err = ue.Err
		}
		return nil, fmt.Errorf("store: not a URL: %w", err)
	}
	shown := *u
	shown.RawQuery, shown.ForceQuery, shown.Fragment = "", false, ""
	if u.Scheme == "" {
		return nil, fmt.Errorf("store: %q has no scheme; a directory is written file:///absolute/path", shown.Redacted())
	}
	driversMu.RLock()
	open := drivers[u.Scheme]
	known := slices.Sorted(maps.Keys(drivers))
	driversMu.RUnlock()
	if open == nil {
		advice := "import the package of its driver"
		if p := packages[u.Scheme]; p != "" {
			advice = `import _ "github.com/clusterless-go/clusterless/store/` + p + `"`
		} else if hint := spelling.Hint(u.Scheme, append(slices.Sorted(maps.Keys(packages)), known...)); hint != "" {
			advice = strings.Trim(hint, " ()")
		}
		return nil, fmt.Errorf("store: open %s: no driver for scheme %q (this program has: %s); %s",
			shown.Redacted(), u.Scheme, strings.Join(known, ", "), advice)
	}
	s, err := open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("store: open %s: %w", shown.Redacted(), err)
	}
	return s, nil
}
