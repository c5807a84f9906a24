package store

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
)

// ErrDamaged is wrapped by the error of a blob whose content is not what it should be.
var ErrDamaged error = damaged{}

// damaged lets packages that know the form of a blob, but no stores, have an error of their own that is this one too:
// by an Is method that looks for Damaged.
type damaged struct{}

func (damaged) Error() string { return "blob is damaged" }

// Damaged marks the sentinel.
func (damaged) Damaged() {}

// An Error is what the methods of the drivers return: what was being done to which key of which store.
type Error struct {
	Store  string // URL of the store
	Op     string // put, get, list, delete, …
	Key    string // or the prefix of a list
	Err    error  // the cause
	Advice string // what a person can do about it; may be empty
}

func (e *Error) Error() string {
	s := "store " + e.Store + ": " + e.Op
	if e.Key != "" {
		s += " " + e.Key
	}
	s += ": " + e.Err.Error()
	if e.Advice != "" {
		s += " (" + e.Advice + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Transient marks err as one that may go away when the same is tried again; drivers wrap with it what [Retry] is
// to retry. Transient(nil) is nil.
func Transient(err error) error {
	if err == nil {
		return nil
	}
	return &transient{err}
}

type transient struct{ error }

func (t *transient) Unwrap() error { return t.error }
func (*transient) Transient() bool { return true }

// IsTransient reports whether trying again can help: some error in the chain has a method Transient() bool that
// says so. Whatever else an error claims, these never are: a missing or taken key, an invalid one, a lack of
// permission or space, damage, the end of a context. An error that says nothing is permanent.
func IsTransient(err error) bool {
	for _, permanent := range []error{
		fs.ErrNotExist, fs.ErrExist, fs.ErrInvalid, fs.ErrPermission, syscall.ENOSPC, ErrDamaged,
		errors.ErrUnsupported, context.Canceled, context.DeadlineExceeded,
	} {
		if errors.Is(err, permanent) {
			return false
		}
	}
	var t interface{ Transient() bool }
	return errors.As(err, &t) && t.Transient()
}
