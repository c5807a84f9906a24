package azbatch

import (
	"cmp"
	"fmt"
	"strings"
)

// DefaultPlatform is what nodes are, but for VM sizes with an Arm processor, whose names have a p behind the number of cores
// (Standard_D4ps_v5).
const DefaultPlatform = "linux/amd64"

// Platform implements engine.Platformer.
func (e *Engine) Platform() string { return cmp.Or(e.c.Platform, DefaultPlatform) }

// checkPlatform refuses one that nodes cannot be: the agent is a shell script of Linux.
func checkPlatform(s string) error {
	if s != "" && !strings.HasPrefix(s, "linux/amd64") && !strings.HasPrefix(s, "linux/arm64") {
		return fmt.Errorf("azbatch: platform %q: nodes are linux/amd64 or linux/arm64", s)
	}
	return nil
}
