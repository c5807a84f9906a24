//go:build !linux

package program

import "os"

func find() (string, error) { return os.Executable() }
