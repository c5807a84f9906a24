// Package tlscert makes the certificate with which the emulator serves https on this machine, and keeps it in a directory.
package tlscert

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	lifetime = 820 * 24 * time.Hour // some systems refuse more than 825 days
	renew    = 30 * 24 * time.Hour  // what must be left of it
)

// local are the names that every certificate has.
var local = []string{"localhost", "127.0.0.1", "::1"}

// A Bundle is a server's certificate and the authority that signed it.
type Bundle struct {
	Certificate tls.Certificate
	CA          *x509.CertPool
	CAFile      string // PEM of the authority alone: what a client is given as SSL_CERT_FILE
}

// Open returns the certificate that is kept in a directory, for localhost and the names given, which may be IP addresses.
// It makes one when there is none, when it ends soon or when it lacks a name. Each certificate has an authority of its own,
// whose key is thrown away: what trusts the authority trusts this one server. Several processes may open a directory at a
// time and get the same certificate.
func Open(dir string, names ...string) (*Bundle, error) {
	names = append(append([]string{}, local...), names...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("tlscert: %w", err)
	}
	server := filepath.Join(dir, "server.pem") // key, certificate, authority
	for {
		b, err := load(server, names)
		switch {
		case err == nil:
			b.CAFile = filepath.Join(dir, "ca.pem")
			return b, b.writeCA()
		case errors.Is(err, errOutdated):
			if err := os.Remove(server); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("tlscert: %w", err)
			}
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("tlscert: %w; delete the file, and another is made", err)
		}
		content, err := generate(names)
		if err == nil {
			err = create(server, content)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("tlscert: %w", err)
		}
	}
}

var errOutdated = errors.New("the certificate ends soon or lacks a name")

func load(file string, names []string) (*Bundle, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(content, content)
	if err != nil || len(c.Certificate) != 2 {
		return nil, fmt.Errorf("%s is no key with a certificate and its authority (%v)", file, err)
	}
	ca, err := x509.ParseCertificate(c.Certificate[1])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	b := &Bundle{Certificate: c, CA: x509.NewCertPool()}
	b.CA.AddCert(ca)
	for _, name := range names {
		if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: b.CA, CurrentTime: time.Now().Add(renew)}); err != nil {
			return nil, errOutdated
		}
	}
	return b, nil
}

// writeCA puts the authority where clients look for it, if it is not there.
func (b *Bundle) writeCA() error {
	want := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Certificate.Certificate[1]})
	if got, err := os.ReadFile(b.CAFile); err == nil && bytes.Equal(got, want) {
		return nil
	}
	tmp, err := temporary(b.CAFile, want)
	if err != nil {
		return fmt.Errorf("tlscert: %w", err)
	}
	if err := os.Rename(tmp, b.CAFile); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("tlscert: %w", err)
	}
	return nil
}

// create makes a file whole or not at all; a file of this name that is there already is fs.ErrExist.
func create(file string, content []byte) error {
	tmp, err := temporary(file, content)
	if err != nil {
		return err
	}
	defer os.Remove(tmp)
	return os.Link(tmp, file)
}

// temporary writes a file beside another, for the owner's eyes.
func temporary(file string, content []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// generate makes an authority, has it sign a certificate, and returns key, certificate and authority as PEM.
func generate(names []string) ([]byte, error) {
	now := time.Now()
	template := func(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
		if err != nil {
			return nil, nil, err
		}
		return &x509.Certificate{
			SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"clusterless emulator"}},
			NotBefore: now.Add(-time.Hour), NotAfter: now.Add(lifetime), BasicConstraintsValid: true,
		}, key, nil
	}
	ca, caKey, err := template("clusterless emulator CA")
	if err != nil {
		return nil, err
	}
	ca.IsCA, ca.MaxPathLenZero, ca.KeyUsage = true, true, x509.KeyUsageCertSign
	leaf, key, err := template("clusterless emulator")
	if err != nil {
		return nil, err
	}
	leaf.KeyUsage, leaf.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, name)
		}
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return nil, err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), caKey)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, block := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: keyDER}, {Type: "CERTIFICATE", Bytes: leafDER}, {Type: "CERTIFICATE", Bytes: caDER}} {
		if err := pem.Encode(&b, block); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}
