package blobstore

import (
	"crypto/tls"
	"crypto/x509"
	"time"
)

// WithSilence is for tests that cannot wait for as long as users have to.
func WithSilence(d time.Duration) Option { return func(o *options) { o.transport = newTransport(d) } }

// WithRoots trusts the certificates of a server of a test.
func WithRoots(roots *x509.CertPool) Option {
	return func(o *options) {
		o.transport = newTransport(silence)
		o.transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
}

var (
	BlobName   = blobName
	NamePrefix = namePrefix
	KeyOf      = keyOf
)
