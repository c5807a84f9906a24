package model

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// WithoutSecrets is v without the passwords and keys in it, which answers do not have. v itself is left alone: what lies on the way
// to a secret is copied.
func WithoutSecrets[T any](v T) T {
	of := reflect.ValueOf(&v).Elem()
	of.Set(open(of))
	return v
}

func open(v reflect.Value) reflect.Value {
	if !secretive(v.Type()) {
		return v
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		told := reflect.New(v.Type().Elem())
		told.Elem().Set(open(v.Elem()))
		return told
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		told := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			told.Index(i).Set(open(v.Index(i)))
		}
		return told
	}
	told := reflect.New(v.Type()).Elem()
	told.Set(v)
	for i := range v.NumField() {
		if secret(v.Type().Field(i)) {
			told.Field(i).SetZero()
		} else {
			told.Field(i).Set(open(v.Field(i)))
		}
	}
	return told
}

func secret(f reflect.StructField) bool {
	return slices.Contains(strings.Split(f.Tag.Get("batch"), ","), "secret")
}

var secretTypes sync.Map // reflect.Type -> bool

// secretive says whether values of a type of this package can have a secret in them.
func secretive(t reflect.Type) bool {
	if known, ok := secretTypes.Load(t); ok {
		return known.(bool)
	}
	found := false
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		found = secretive(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			found = found || f.IsExported() && (secret(f) || secretive(f.Type))
		}
	}
	secretTypes.Store(t, found)
	return found
}
