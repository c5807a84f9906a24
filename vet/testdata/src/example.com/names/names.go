// Package names has names of functions. // want package:"6 functions given to Define, 0 that"
package names

import (
	"context"
	"strconv"

	"github.com/clusterless-go/clusterless"
)

func same(_ context.Context, x int) (int, error) { return x, nil }

const prefix = "names."

var (
	first  = clusterless.Define("names.one", same)
	second = clusterless.Define(prefix+"one", same) // want `the name "names.one" is taken by the function defined at names.go:16: the program panics as it starts`
	empty  = clusterless.Define("", same)           // want `name of a function: want 1 to 64 characters`
	space  = clusterless.Define("a b", same)        // want `name of a function: want letters, digits, '-', '_' and '.'`
	made   = clusterless.Define("n"+strconv.Itoa(1), same)
)

func init() {
	if len(prefix) == 0 {
		clusterless.Define("names.one", same) // who knows
	}
}
