package clusterless

import (
	"context"
	"encoding"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"sync"

	"github.com/clusterless-go/clusterless/codec"
	"github.com/clusterless-go/clusterless/internal/worker"
)

// A Func is a named function that every process of the program can find. Make it with [Define], in a variable of a
// package. It may be copied and used at once.
type Func[In, Out any] struct{ d *definition[In, Out] }

// definition is what stands in the table of functions.
type definition[In, Out any] struct {
	name string
	fn   func(context.Context, In) (Out, error)
	opts []Option
	at   string
}

// entry is a definition without its types.
type entry interface {
	worker.Func
	describe() Defined
}

// Defined describes a Func, for lists.
type Defined struct {
	Name string
	In   string // Go type of its input
	Out  string // Go type of its result
	At   string // file and line of its definition
}

// table holds all functions of the program, and the set-up hooks of workers.
var table = struct {
	sync.Mutex
	funcs    map[string]entry
	setup    []func(context.Context) error
	closed   string // who closed it
	mainFile string // source of the main function; "" if it is not known
}{funcs: map[string]entry{}}

// Define gives fn a name under which workers find it. Call it to initialise a variable of a package:
//
//	var Simulate = clusterless.Define("simulate", simulate)
//
// The name is part of the stored form of jobs: it may be any text of 1 to 64 letters, digits and ".-_". In and Out may
// be almost any types; see package codec for what cannot travel. fn runs in another process: it sees package variables
// as package initialisation left them, never what main made of them, and a pointer in its input is a copy. opts are
// the defaults of all its jobs.
//
// Define panics if the name is taken or malformed, if In or Out can never travel, and after [Main] or [Init]: all of
// these are mistakes in the program that show at every start.
func Define[In, Out any](name string, fn func(context.Context, In) (Out, error), opts ...Option) Func[In, Out] {
	_, file, line, _ := runtime.Caller(1)
	d := &definition[In, Out]{name, fn, opts, fmt.Sprintf("%s:%d", file, line)}
	if err := checkFuncName(name); err != nil {
		panic(fmt.Sprintf("clusterless: Define at %s: %v", d.at, err))
	}
	if fn == nil {
		panic(fmt.Sprintf("clusterless: Define(%q) at %s: the function is nil", name, d.at))
	}
	for _, t := range []reflect.Type{reflect.TypeFor[In](), reflect.TypeFor[Out]()} {
		if err := codec.Check(t); err != nil {
			panic(fmt.Sprintf("clusterless: Define(%q) at %s: %v", name, d.at, err))
		}
	}
	table.Lock()
	defer table.Unlock()
	if table.closed != "" {
		panic(fmt.Sprintf("clusterless: Define(%q) at %s: after %s; workers would not have it: define functions in variables of packages", name, d.at, table.closed))
	}
	if old, ok := table.funcs[name]; ok {
		panic(fmt.Sprintf("clusterless: Define(%q) at %s: the name is taken by the definition at %s", name, d.at, old.describe().At))
	}
	table.funcs[name] = d
	return Func[In, Out]{d}
}

func checkFuncName(name string) error {
	if name == "" || len(name) > 64 {
		return fmt.Errorf("name %q: want 1 to 64 characters", name)
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.') {
			return fmt.Errorf("name %q: character %q: want letters, digits, '-', '_' and '.'", name, r)
		}
	}
	return nil
}

// Setup registers a function that every worker process runs once, before its first call: to load a library, read a
// licence, start a helper process. Several run in the order of their registration. An error fails every call that the
// process was given, with that error. Call it to initialise a variable of a package: var _ = clusterless.Setup(warmUp).
func Setup(fn func(context.Context) error) struct{} {
	table.Lock()
	defer table.Unlock()
	if table.closed != "" {
		panic("clusterless: Setup after " + table.closed + ": workers would not have it")
	}
	table.setup = append(table.setup, fn)
	return struct{}{}
}

// Funcs lists what the program defines, by name.
func Funcs() []Defined {
	table.Lock()
	defer table.Unlock()
	var all []Defined
	for _, e := range table.funcs {
		all = append(all, e.describe())
	}
	slices.SortFunc(all, func(a, b Defined) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return all
}

// Name returns the name given to Define; "" for the zero Func.
func (f Func[In, Out]) Name() string {
	if f.d == nil {
		return ""
	}
	return f.d.name
}

// Call runs the function here, as the plain function it is.
func (f Func[In, Out]) Call(ctx context.Context, in In) (Out, error) {
	if err := f.d.check(); err != nil {
		var zero Out
		return zero, err
	}
	return f.d.fn(ctx, in)
}

// On returns the function on a session: its calls run as tasks. The options hold for all jobs that the handle makes,
// over those of Define and of the session.
func (f Func[In, Out]) On(s *Session, opts ...Option) Remote[In, Out] {
	return Remote[In, Out]{f.d, s, opts}
}

// check says that a Func is the zero value.
func (d *definition[In, Out]) check() error {
	if d == nil {
		return fmt.Errorf("clusterless: a Func[%s, %s] that was not made by Define: set it where it is declared, as a variable of a package: var F = clusterless.Define(name, function)",
			typeName[In](), typeName[Out]())
	}
	return nil
}

func (d *definition[In, Out]) Name() string { return d.name }

func (d *definition[In, Out]) describe() Defined {
	return Defined{d.name, reflect.TypeFor[In]().String(), reflect.TypeFor[Out]().String(), d.at}
}

func (d *definition[In, Out]) Decode(decode func(any) error, flat bool, n int) (any, error) {
	if !flat {
		ins := make([]In, 1)
		return ins, decode(&ins[0])
	}
	var ins []In
	if err := decode(&ins); err != nil {
		return nil, err
	}
	if len(ins) != n {
		return nil, fmt.Errorf("message has %d inputs, want %d", len(ins), n)
	}
	return ins, nil
}

func (d *definition[In, Out]) Gather(n int, decode func(int, any) error) (any, error) {
	in := reflect.New(reflect.TypeFor[In]()).Elem()
	if in.Kind() != reflect.Slice {
		return nil, fmt.Errorf("function %q takes %v, and cannot reduce", d.name, in.Type())
	}
	in.Set(reflect.MakeSlice(in.Type(), n, n))
	for i := range n {
		if err := decode(i, in.Index(i).Addr().Interface()); err != nil {
			return nil, err
		}
	}
	return []In{in.Interface().(In)}, nil
}

func (d *definition[In, Out]) Call(ctx context.Context, inputs any, i int) (any, error) {
	out, err := d.fn(ctx, inputs.([]In)[i])
	return &out, err
}

func (d *definition[In, Out]) Encode(e *codec.Encoder, w io.Writer, outs []any, flat bool) error {
	if !flat {
		_, err := e.Encode(w, outs[0])
		return err
	}
	all := make([]Out, len(outs))
	for i, o := range outs {
		all[i] = *o.(*Out)
	}
	_, err := e.Encode(w, &all)
	return err
}

var unmarshalerType = reflect.TypeFor[encoding.BinaryUnmarshaler]()

// flat says whether values of a type can be kept as they are until they are encoded, many to a message: a copy of
// one shares nothing with it that can change, and nothing can be wrong with one of them only, as there can be with those of types
// that marshal themselves (of which Ref is one).
func flat(t reflect.Type) bool {
	if t.Size() > 1024 || reflect.PointerTo(t).Implements(unmarshalerType) {
		return false
	}
	switch t.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16,
		reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	case reflect.Array:
		return flat(t.Elem())
	case reflect.Struct:
		for f := range t.Fields() {
			if !flat(f.Type) {
				return false
			}
		}
		return true
	}
	return false
}
