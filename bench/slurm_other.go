//go:build !linux

package main

import "errors"

func startSlurm() (stop func(), err error) {
	return nil, errors.New("its test cluster runs on Linux only")
}
