// Inputs and results. // want package:"20 functions given to Define, 1 that"
package travel

import (
	"context"
	"os"
	"sync"
	"time"
	"unique"
	"unsafe"

	"github.com/clusterless-go/clusterless"

	"example.com/sim"
)

type none = struct{}

func give[T any](context.Context, none) (v T, err error) { return v, nil }
func take[T any](context.Context, T) (none, error)       { return none{}, nil }

type shot struct {
	Name string
	mu   sync.Mutex
	done chan struct{} // travels as nil
	Hook func()
	File *os.File
	when time.Time
}

type holder struct {
	Inner struct{ Files [2]os.File }
}

type request struct {
	N   int
	Ctx context.Context
}

type nested struct{ Requests [3]request }

type tree []tree

type packed struct{ f os.File }

func (packed) MarshalBinary() ([]byte, error) { return nil, nil }
func (*packed) UnmarshalBinary([]byte) error  { return nil }

type embeds struct {
	packed
	F os.File
}

var (
	_ = clusterless.Define("ok.shot", take[*shot])
	_ = clusterless.Define("ok.any", give[any])
	_ = clusterless.Define("ok.tree", take[tree])
	_ = clusterless.Define("ok.packed", take[packed])
	_ = clusterless.Define("ok.request", take[*sim.Request])
	_ = clusterless.Define("ok.sum", clusterless.Sum[float64])
	_ = clusterless.Define("ok.none", take[[0]os.File])

	_ = clusterless.Define("chan", take[chan int])                  // want `input of function "chan": chan int: cannot send a channel`
	_ = clusterless.Define("func", give[func()])                    // want `result of function "func": func\(\): cannot send a function`
	_ = clusterless.Define("pointer", take[unsafe.Pointer])         // want `cannot send an unsafe pointer`
	_ = clusterless.Define("chans", take[map[string][]chan int])    // want `map\[string\]\[\]chan int: cannot send a channel`
	_ = clusterless.Define("file", take[*os.File])                  // want `input of function "file": os.File: cannot send an open file`
	_ = clusterless.Define("holder", give[holder])                  // want `result of function "holder": holder.Inner.Files\[0\]: cannot send an open file`
	_ = clusterless.Define("embeds", take[embeds])                  // want `embeds.F: cannot send an open file`
	_ = clusterless.Define("handle", take[unique.Handle[string]])   // want `cannot send a unique.Handle`
	_ = clusterless.Define("context", take[context.Context])        // want `input of function "context": context.Context: cannot send a context: send what is of it as values`
	_ = clusterless.Define("request", take[request])                // want `request.Ctx: cannot send a context`
	_ = clusterless.Define("nested", take[*nested])                 // want `nested.Requests\[0\].Ctx: cannot send a context`
	_ = clusterless.Define[none, chan int]("given", give[chan int]) // want `result of function "given": chan int: cannot send a channel`
)

func wrapper[T any](name string) clusterless.Func[T, none] {
	return clusterless.Define(name, take[T])
}

var _ = wrapper[int]("wrapped")
