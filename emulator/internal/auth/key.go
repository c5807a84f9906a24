// Package auth decides who may call the emulator: it checks signatures made with the account's shared key, and bearer
// tokens, which it issues itself.
package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// A Key is the shared key of an account. It does not show itself: every verb of package fmt prints "[key]", and so does log/slog.
type Key struct{ secret []byte }

// NewKey returns a random key of 64 bytes, as the service's are.
func NewKey() Key {
	b := make([]byte, 64)
	rand.Read(b)
	return Key{b}
}

// ParseKey reads a key from the base64 that clients are given. The error does not repeat it.
func ParseKey(s string) (Key, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return Key{}, errors.New("auth: the account key is not base64")
	}
	return Key{b}, nil
}

// Base64 is the key as clients are given it. It is a secret.
func (k Key) Base64() string { return base64.StdEncoding.EncodeToString(k.secret) }

// Format is for package fmt, LogValue for log/slog.
func (Key) Format(w fmt.State, _ rune) { io.WriteString(w, "[key]") }
func (Key) LogValue() slog.Value       { return slog.StringValue("[key]") }

func (k Key) mac(s string) []byte {
	h := hmac.New(sha256.New, k.secret)
	io.WriteString(h, s)
	return h.Sum(nil)
}

// derive makes a key of its own for a purpose.
func (k Key) derive(s string) []byte { return k.mac("clusterless emulator: " + s) }
