package odata

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// Names are the properties of an entity that $select may name, with those inside them.
type Names struct {
	inside map[string]*Names // nil for a property that has none
}

var marshaler = reflect.TypeFor[json.Marshaler]()

// NamesOf takes the names from the json tags of T and of the structs in it.
func NamesOf[T any]() *Names { return namesOf(reflect.TypeFor[T](), map[reflect.Type]*Names{}) }

func namesOf(t reflect.Type, seen map[reflect.Type]*Names) *Names {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if n := seen[t]; n != nil {
		return n
	}
	n := &Names{}
	seen[t] = n
	if t.Kind() != reflect.Struct || t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) {
		return n
	}
	n.inside = map[string]*Names{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(n.inside, namesOf(f.Type, seen).inside)
		case f.IsExported() && name != "" && name != "-":
			n.inside[name] = namesOf(f.Type, seen)
		}
	}
	return n
}

// A Select is a parsed $select: the properties that are asked for. The zero Select asks for all.
type Select struct {
	inside map[string]Select // nil: the whole property
}

// parseSelect reads "id,executionInfo/exitCode".
func parseSelect(src string, names *Names) (Select, error) {
	var s Select
	for item := range strings.SplitSeq(src, ",") {
		item = strings.TrimSpace(item)
		if item == "*" {
			return Select{}, nil
		}
		in := names
		for name := range strings.SplitSeq(item, "/") {
			next := in.inside[name]
			if next == nil {
				return Select{}, apierror.Parameter("$select", src, fmt.Sprintf("%q is no property to select", item))
			}
			in = next
		}
		s = s.with(strings.Split(item, "/"))
	}
	return s, nil
}

// with returns s with one more path, for a Select that is not of a whole property.
func (s Select) with(path []string) Select {
	if s.inside == nil {
		s.inside = map[string]Select{}
	}
	in, taken := s.inside[path[0]]
	switch {
	case len(path) == 1:
		s.inside[path[0]] = Select{}
	case !taken || in.inside != nil:
		s.inside[path[0]] = in.with(path[1:])
	}
	return s
}

// Apply returns v as JSON, without the properties that were not asked for.
func (s Select) Apply(v any) (json.RawMessage, error) {
	if pruned, ok := s.prune(reflect.Indirect(reflect.ValueOf(v))); ok {
		v, s = pruned, Select{}
	}
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("odata: %w", err)
	}
	return s.cut(b)
}

// prune returns a copy of a struct that has only the selected fields, which is much faster than to cut JSON. It says false
// when that does not do: when parts of fields are selected, or a field would show also when it is empty.
func (s Select) prune(v reflect.Value) (any, bool) {
	if s.inside == nil || v.Kind() != reflect.Struct {
		return nil, false
	}
	t := v.Type()
	pruned := reflect.New(t)
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		in, wanted := s.inside[name]
		switch {
		case wanted && in.inside == nil:
			pruned.Elem().Field(i).Set(v.Field(i))
		case wanted || name == "" || !strings.HasPrefix(options, "omit"):
			return nil, false
		}
	}
	return pruned.Interface(), true
}

func (s Select) cut(b json.RawMessage) (json.RawMessage, error) {
	if s.inside == nil || len(b) == 0 || b[0] != '{' && b[0] != '[' {
		return b, nil
	}
	if b[0] == '[' {
		var items []json.RawMessage
		if err := json.Unmarshal(b, &items); err != nil {
			return nil, err
		}
		for i := range items {
			var err error
			if items[i], err = s.cut(items[i]); err != nil {
				return nil, err
			}
		}
		return json.Marshal(items)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, err
	}
	for name, value := range all {
		in, wanted := s.inside[name]
		if !wanted {
			delete(all, name)
			continue
		}
		var err error
		if all[name], err = in.cut(value); err != nil {
			return nil, err
		}
	}
	return json.Marshal(all)
}
