package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// GetVerified opens a blob whose content has the SHA-256 want, in hexadecimal. The reader hashes what passes, and in
// place of io.EOF returns an error that wraps [ErrDamaged] and names the key, if the content is another one. So
// nothing that was read may be relied on before the end was reached.
//
// It is the caller who knows which keys are hashes of their content and of which form of it, so no decorator does
// this behind one's back. Messages of the codec have a checksum of their own and need none of this.
func GetVerified(ctx context.Context, s Store, key, want string) (io.ReadCloser, error) {
	r, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	return &verifying{r: r, hash: sha256.New(), want: want, store: s.URL(), key: key}, nil
}

// VerifySHA256 reads the whole blob and returns an error that wraps [ErrDamaged] if its SHA-256, in hexadecimal, is
// not want.
func VerifySHA256(ctx context.Context, s Store, key, want string) error {
	r, err := GetVerified(ctx, s, key, want)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.CopyBuffer(io.Discard, struct{ io.Reader }{r}, make([]byte, 256<<10))
	return err
}

// Damaged returns the error for a blob whose SHA-256 is got and should be want.
func Damaged(store, key, got, want string) error {
	return &Error{Store: store, Op: "verify", Key: key, Err: fmt.Errorf("%w: its sha256 is %s, not %s", ErrDamaged, got, want)}
}

type verifying struct {
	r          io.ReadCloser
	hash       hash.Hash
	want       string
	store, key string
}

func (v *verifying) Size() int64 { return readerSize(v.r) }

func (v *verifying) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF {
		if got := hex.EncodeToString(v.hash.Sum(nil)); got != v.want {
			return n, Damaged(v.store, v.key, got, v.want)
		}
	}
	return n, err
}

func (v *verifying) Close() error { return v.r.Close() }
