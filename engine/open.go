package engine

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/clusterless-go/clusterless/internal/spelling"
)

// Config is what every driver is opened with, beside its URL.
type Config struct {
	// Dir is a directory of this machine for the state of the engine: journals, logs, scratch, cache. Processes
	// that share it share their jobs. Drivers that keep nothing here leave it alone.
	Dir string
	// Logger gets what is worth knowing and is nobody's return value; nil is silence.
	Logger *slog.Logger
}

// An OpenFunc makes an engine from the URL given to [Open].
type OpenFunc func(ctx context.Context, u *url.URL, c Config) (Engine, error)

var drivers = struct {
	sync.Mutex
	open map[string]OpenFunc
}{open: map[string]OpenFunc{}}

// Register makes a driver known under the scheme of its URLs. Drivers call it as they are initialised; taking a
// scheme twice is a mistake of the program and panics.
func Register(scheme string, open OpenFunc) {
	drivers.Lock()
	defer drivers.Unlock()
	if _, taken := drivers.open[scheme]; taken {
		panic("engine: scheme " + scheme + " is registered twice")
	}
	drivers.open[scheme] = open
}

// Schemes are those of all drivers that this program has, sorted.
func Schemes() []string {
	drivers.Lock()
	defer drivers.Unlock()
	return slices.Sorted(maps.Keys(drivers.open))
}

// packages are those of drivers beside this one, each named for its scheme: what to import where no driver has registered it.
var packages = []string{"azbatch", "local", "slurm"}

// Open makes the engine that the URL names: its scheme selects the driver, which reads the rest. A bare scheme,
// "local", is a URL too.
func Open(ctx context.Context, rawURL string, c Config) (Engine, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("engine: %w", err)
	}
	if u.Scheme == "" && u.Path != "" && !strings.ContainsAny(u.Path, "/\\.") {
		u.Scheme, u.Path = u.Path, ""
	}
	drivers.Lock()
	open := drivers.open[u.Scheme]
	drivers.Unlock()
	if open == nil {
		known, advice := Schemes(), "import the package of its driver"
		if slices.Contains(packages, u.Scheme) {
			advice = `import _ "github.com/clusterless-go/clusterless/engine/` + u.Scheme + `"`
		} else if hint := spelling.Hint(u.Scheme, append(known, packages...)); hint != "" {
			advice = strings.Trim(hint, " ()")
		}
		return nil, fmt.Errorf("engine: open %q: no driver for scheme %q (this program has: %s); %s", u.Redacted(), u.Scheme, strings.Join(known, ", "), advice)
	}
	return open(ctx, u, c)
}

// Slots asks a [Sizer] how many runs with these resources fit at once; ok is false for an engine that is none.
func Slots(e Engine, r Resources) (n int, ok bool) {
	s, ok := e.(Sizer)
	if !ok {
		return 0, false
	}
	return s.Slots(r), true
}
