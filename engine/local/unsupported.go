//go:build !linux && !darwin && !freebsd

package local

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/clusterless-go/clusterless/engine"
)

// New says that there is no local engine for this platform.
func New(Config) (engine.Engine, error) {
	return nil, fmt.Errorf("local: engine on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
