//go:build !linux

package main

import (
	"errors"
	"runtime"
	"time"
)

var began = time.Now()

func threadTime() time.Duration { return time.Since(began) }
func cpuTime() time.Duration    { return 0 }
func peakMemory() float64       { return 0 }
func largeMappings() []string   { return nil }
func machine() string           { return runtime.GOOS + "/" + runtime.GOARCH }

func mapFile(string) ([]byte, func(), error) { return nil, nil, errors.ErrUnsupported }
