package model

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// names are those of the properties of a type and of all in it; true for those whose values have names of the client's own.
type names map[string]bool

var namesOfType sync.Map // reflect.Type -> names

func namesOf(t reflect.Type) names {
	if known, ok := namesOfType.Load(t); ok {
		return known.(names)
	}
	n := names{}
	n.add(t)
	namesOfType.Store(t, n)
	return n
}

func (n names) add(t reflect.Type) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			continue
		}
		n[name] = f.Type.Kind() == reflect.Map || f.Type == reflect.TypeFor[json.RawMessage]()
		n.add(f.Type)
	}
}

// wrong is the first name of a property in a body that is none of these as it is written, if there is one: encoding/json takes a
// name in any case, and the service does not. The body is JSON.
func (n names) wrong(body []byte) string {
	for i := 0; i < len(body); {
		if body[i] != '"' {
			i++
			continue
		}
		end := stringEnd(body, i)
		after := bytes.TrimLeft(body[end:], " \t\r\n")
		if len(after) == 0 || after[0] != ':' {
			i = end
			continue
		}
		var name string
		if json.Unmarshal(body[i:end], &name) != nil {
			return string(body[i:end])
		}
		own, known := n[name]
		if !known {
			return name
		}
		if i = len(body) - len(after) + 1; own {
			i = valueEnd(body, i)
		}
	}
	return ""
}

// stringEnd is where the string ends that begins at i.
func stringEnd(body []byte, i int) int {
	for i++; body[i] != '"'; i++ {
		if body[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// valueEnd is where the value ends that is expected at i: after its last bracket, or before what follows it.
func valueEnd(body []byte, i int) int {
	for depth := 0; i < len(body); {
		switch body[i] {
		case '"':
			i = stringEnd(body, i)
			continue
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return i
			}
			if body[i] != ',' {
				depth--
			}
		}
		i++
	}
	return i
}
