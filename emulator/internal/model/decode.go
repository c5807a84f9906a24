package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// Decode reads a body strictly: properties that T does not have are refused, as are missing ones that T requires, values that
// an enumeration does not have, and anything after the value. A property that is null is as good as missing. The values of
// enumerations are accepted in any case, and brought into the description's.
func Decode[T any](body []byte) (*T, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	v := new(T)
	if err := dec.Decode(v); err != nil {
		return nil, malformed(err, reflect.TypeFor[T]().Name())
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, invalidBody("There is more after the end of the JSON value.")
	}
	if wrong := namesOf(reflect.TypeFor[T]()).wrong(body); wrong != "" {
		return nil, unknownProperty(wrong, reflect.TypeFor[T]().Name())
	}
	if err := check(reflect.ValueOf(v).Elem(), ""); err != nil {
		return nil, err
	}
	return v, nil
}

func invalidBody(reason string) *apierror.Error {
	return apierror.New(apierror.InvalidRequestBody).With("Reason", reason)
}

// malformed says what is wrong with a body in the service's way.
func malformed(err error, name string) error {
	var typ *json.UnmarshalTypeError
	switch {
	case errors.Is(err, io.EOF):
		return invalidBody("The body is empty.")
	case errors.As(err, &typ):
		return invalidBody(fmt.Sprintf("The property '%s' cannot be a JSON %s.", typ.Field, typ.Value))
	}
	if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return unknownProperty(strings.Trim(field, `"`), name)
	}
	return invalidBody(err.Error())
}

func unknownProperty(property, name string) error {
	return invalidBody(fmt.Sprintf("The property '%s' does not exist on type '%s'. "+
		"Make sure to only use property names that are defined by the type.", property, "Microsoft.Azure.Batch.Protocol.Entities."+name))
}

// A rule is what a field's tag asks.
type rule struct {
	index    int
	name     string
	required bool
	enum     []string
	deep     bool // it has fields of its own
}

var rulesOf sync.Map // reflect.Type -> []rule

func rules(t reflect.Type) []rule {
	if r, ok := rulesOf.Load(t); ok {
		return r.([]rule)
	}
	var all []rule
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		r := rule{index: i, name: name}
		for _, o := range strings.Split(f.Tag.Get("batch"), ",") {
			if values, ok := strings.CutPrefix(o, "enum="); ok {
				r.enum = strings.Split(values, "|")
			}
			r.required = r.required || o == "required"
		}
		e := f.Type
		if e.Kind() == reflect.Pointer || e.Kind() == reflect.Slice {
			e = e.Elem()
		}
		r.deep = e.Kind() == reflect.Struct && e.PkgPath() == t.PkgPath()
		if r.required || r.enum != nil || r.deep {
			all = append(all, r)
		}
	}
	rulesOf.Store(t, all)
	return all
}

// check applies the rules of v, a struct, and of all below it. path is where v stands.
func check(v reflect.Value, path string) error {
	for _, r := range rules(v.Type()) {
		f := v.Field(r.index)
		name := path + r.name
		if r.required && missing(f) {
			return apierror.New(apierror.MissingRequiredProperty).With("PropertyName", name)
		}
		switch f.Kind() {
		case reflect.String:
			if err := enum(f, r.enum, name); err != nil {
				return err
			}
		case reflect.Pointer:
			if r.deep && !f.IsNil() {
				if err := check(f.Elem(), name+"/"); err != nil {
					return err
				}
			}
		case reflect.Slice:
			for i := range f.Len() {
				var err error
				if r.deep {
					err = check(f.Index(i), fmt.Sprintf("%s/%d/", name, i))
				} else {
					err = enum(f.Index(i), r.enum, name)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func missing(f reflect.Value) bool {
	switch f.Kind() {
	case reflect.Pointer, reflect.Slice:
		return f.IsNil()
	}
	return f.IsZero()
}

func enum(f reflect.Value, values []string, name string) error {
	s := f.String()
	if values == nil || s == "" {
		return nil
	}
	if i := slices.IndexFunc(values, func(v string) bool { return strings.EqualFold(v, s) }); i >= 0 {
		f.SetString(values[i])
		return nil
	}
	return apierror.Property(name, s, "It is none of "+strings.Join(values, ", ")+".")
}
