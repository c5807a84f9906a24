//go:build !go1.26 || go1.27 || !linux || !(amd64 || arm64)

package codec

// theImage knows nothing of other platforms and versions of Go: there, errors keep their identity if they are
// well known or registered.
func theImage() *image { return &image{} }
