// Package archtest holds the rules that the packages of the module keep, as tests: which may import which, and why; that
// every export says what it is; that nothing in the repository depends on where it lies.
package archtest
