package blobstore

import (
	"strings"

	"github.com/clusterless-go/clusterless/store"
)

// A key is the name of its blob, but for three things that services or gocloud.dev treat specially: a segment that ends in a
// dot (Azure cuts the dot off), "../" and "__0x", by which gocloud.dev writes characters that a service does not take. They
// are broken up with characters that no key has. The order of names is that of keys, since services list by name:
//
//   - after a dot: the end of the key is "!", "+" is "$", "-" is "&", "." is "'", and "/" has "(" before it;
//   - after "__0x", unless the key ends there: "!".
//
// So "file.txt" is itself, "v1./a" is "v1.(/a" and "..." is ".''!".

const hexMark = "__0x"

// blobName is the name of the blob of a key.
func blobName(key string) string { return encode(key, true) }

// namePrefix is what the names of all blobs begin with whose keys begin with prefix.
func namePrefix(prefix string) string { return encode(prefix, false) }

func encode(key string, whole bool) string {
	if !strings.Contains(key, ".") && !strings.Contains(key, hexMark) {
		return key
	}
	var b strings.Builder
	b.Grow(len(key) + 8)
	for i := range len(key) {
		c := key[i]
		if strings.HasSuffix(key[:i], hexMark) {
			b.WriteByte('!')
		}
		if i == 0 || key[i-1] != '.' {
			b.WriteByte(c)
			continue
		}
		switch c {
		case '+':
			b.WriteByte('$')
		case '-':
			b.WriteByte('&')
		case '.':
			b.WriteByte('\'')
		case '/':
			b.WriteString("(/")
		default:
			b.WriteByte(c)
		}
	}
	if whole && strings.HasSuffix(key, ".") {
		b.WriteByte('!')
	}
	return b.String()
}

var decoder = strings.NewReplacer("!", "", "(", "", "$", "+", "&", "-", "'", ".")

// keyOf is the key of the blob of that name; ok is false for one that no store has put there.
func keyOf(name string) (key string, ok bool) {
	key = decoder.Replace(name)
	return key, store.CheckKey(key) == nil && blobName(key) == name
}
