package vet

import (
	"fmt"
	"go/types"
	"strings"

	"github.com/clusterless-go/clusterless/codec"
)

// types reports the input and the result of a function if no value of its type can be sent.
func (c *checker) types(d *defined) {
	args := c.TypesInfo.Instances[d.ident].TypeArgs
	if args == nil || args.Len() != 2 {
		return
	}
	for i, what := range []string{"input", "result"} {
		t := args.At(i)
		path, why := c.refused(t)
		if why == "" {
			continue
		}
		name := ""
		if d.name != "" {
			name = fmt.Sprintf(" of function %q", d.name)
		}
		c.Reportf(d.call.Pos(), "%s%s: %s: %s", what, name, path, why)
	}
}

// refused says what in the values of a type cannot be sent, by the rules of codec.Check, and why; "" if nothing is known
// against them. A field that may be nil is no obstacle, but for contexts in types of this package: there is no use for
// one that is nil.
func (c *checker) refused(t types.Type) (path, why string) {
	name := types.TypeString(t, types.RelativeTo(c.Pkg))
	inner := t
	for {
		if p, ok := types.Unalias(inner).(*types.Pointer); ok {
			inner = p.Elem()
			continue
		}
		break
	}
	if why := empty(inner, 0); why != "" {
		return name, why
	}
	return c.within(inner, types.TypeString(inner, types.RelativeTo(c.Pkg)), map[types.Type]bool{})
}

// empty says why a type has no values to send but nil and empty ones, if so: a channel, a function, or lists of such.
func empty(t types.Type, depth int) string {
	if isContext(t) {
		return noContext
	}
	if own(t) || depth > 10 { // a type may lead back to itself
		return ""
	}
	switch u := t.Underlying().(type) {
	case *types.Chan:
		return "cannot send a channel"
	case *types.Signature:
		return "cannot send a function"
	case *types.Basic:
		if u.Kind() == types.UnsafePointer {
			return "cannot send an unsafe pointer"
		}
	case *types.Slice:
		return empty(u.Elem(), depth+1)
	case *types.Array:
		return empty(u.Elem(), depth+1)
	case *types.Pointer:
		return empty(u.Elem(), depth+1)
	case *types.Map:
		return empty(u.Elem(), depth+1)
	}
	return ""
}

const noContext = "cannot send a context: send what is of it as values (a deadline as a time.Time), or use the option Timeout; the function gets a context of its own"

func isContext(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "context" && n.Obj().Name() == "Context"
}

// within looks at what every value of a type holds.
func (c *checker) within(t types.Type, path string, seen map[types.Type]bool) (string, string) {
	if seen[t] {
		return "", ""
	}
	seen[t] = true
	mine := true // declared here, or a type without a name
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil {
		if why := codec.Refusal(n.Obj().Pkg().Path(), fullName(n)); why != "" {
			return path, why
		}
		mine = n.Obj().Pkg() == c.Pkg
	}
	if own(t) {
		return "", ""
	}
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for i := range u.NumFields() {
			f := u.Field(i)
			if mine && isContext(f.Type()) {
				return path + "." + f.Name(), noContext
			}
			if path, why := c.within(f.Type(), path+"."+f.Name(), seen); why != "" {
				return path, why
			}
		}
	case *types.Array:
		if u.Len() > 0 {
			return c.within(u.Elem(), path+"[0]", seen)
		}
	}
	return "", ""
}

// fullName is the name of a type as package reflect has it, as far as codec.Refusal needs it.
func fullName(n *types.Named) string {
	if n.TypeArgs().Len() > 0 {
		return n.Obj().Name() + "["
	}
	return n.Obj().Name()
}

// own reports whether values of a type travel in a way of their own, whatever they hold.
func own(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	if !ok || n.Obj().Pkg() == nil {
		return false
	}
	switch path, name := n.Obj().Pkg().Path(), n.Obj().Name(); path {
	case "time", "container/list", "sync", "sync/atomic", "strings":
		if strings.Contains(" time.Time time.Location container/list.List sync.Mutex sync.RWMutex sync.WaitGroup sync.Map sync/atomic.Pointer strings.Builder ", " "+path+"."+name+" ") {
			return true
		}
	}
	return method(n, "UnmarshalBinary") && (method(n, "AppendBinary") || method(n, "MarshalBinary"))
}

// method reports whether a type, or a pointer to it, has a method that is declared for it and not for a field.
func method(n *types.Named, name string) bool {
	obj, index, _ := types.LookupFieldOrMethod(types.NewPointer(n), true, n.Obj().Pkg(), name)
	_, ok := obj.(*types.Func)
	return ok && len(index) == 1
}
