//go:build unix && !linux && !darwin

package filestore

import "errors"

func renameExclusive(string, string) error { return errors.ErrUnsupported }
