package cache

import "testing"

// Blind makes Reset do without the kernel's help, for a test, and reports whether it has it.
func Blind(t testing.TB, v bool) (was bool) {
	was = blind.Load()
	blind.Store(v)
	t.Cleanup(func() { blind.Store(was) })
	return was
}
