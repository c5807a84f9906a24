package store

import (
	"fmt"
	"io/fs"
)

// Longest key and longest segment of one, in bytes. A segment must fit into a file name of any file system.
const (
	MaxKey     = 512
	MaxSegment = 200
)

// CheckKey reports whether key is one that every Store takes; the error wraps fs.ErrInvalid. Drivers call it
// first in every method, so a key can never lead out of where the store keeps its blobs. A key may begin with
// another one: "a" and "a/b" can both be there.
func CheckKey(key string) error {
	if key == "" {
		return fmt.Errorf("empty key: %w", fs.ErrInvalid)
	}
	if len(key) > MaxKey {
		return fmt.Errorf("key %.40q… has %d bytes, more than %d: %w", key, len(key), MaxKey, fs.ErrInvalid)
	}
	start := 0
	for i := 0; i <= len(key); i++ {
		if i < len(key) && key[i] != '/' {
			if !keyBytes[key[i]] {
				return fmt.Errorf("key %q: byte %q is not allowed in a key: %w", key, key[i], fs.ErrInvalid)
			}
			continue
		}
		switch seg := key[start:i]; {
		case seg == "" || seg == "." || seg == "..":
			return fmt.Errorf("key %q: segment %q is not allowed: %w", key, seg, fs.ErrInvalid)
		case len(seg) > MaxSegment:
			return fmt.Errorf("key %q: a segment has %d bytes, more than %d: %w", key, len(seg), MaxSegment, fs.ErrInvalid)
		}
		start = i + 1
	}
	return nil
}

var keyBytes = func() (ok [256]bool) {
	for _, b := range []byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_+=@~") {
		ok[b] = true
	}
	return ok
}()
