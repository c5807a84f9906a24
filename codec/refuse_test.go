package codec_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/clusterless-go/clusterless/codec"
)

type (
	Model struct {
		Name string
		done chan struct{}
		next *Model
	}
	Shot struct {
		ID    int
		Model *Model
		Any   any
		Map   map[string]any
		List  []func()
		inner struct {
			mu sync.Mutex
			p  unsafe.Pointer
		}
		value map[int]decimal
		file  *os.File
	}
)

type wordKey struct{}

func TestRefused(t *testing.T) {
	locked := &Shot{}
	locked.inner.mu.Lock()
	rw := &struct{ Mu sync.RWMutex }{}
	rw.Mu.RLock()
	wg := &struct{ W sync.WaitGroup }{}
	wg.W.Add(1)
	unsafePtr := &Shot{}
	unsafePtr.inner.p = unsafe.Pointer(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signalled, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	long := &Model{done: make(chan struct{})}
	for range 1000 {
		long = &Model{next: long}
	}
	cases := []struct {
		name string
		v    any // a pointer
		want string
	}{
		{"channel", &Shot{Model: &Model{done: make(chan struct{})}}, "codec: Shot.Model.done: cannot send a channel"},
		{"down a list", &Shot{Model: &Model{next: &Model{done: make(chan struct{})}}}, "Shot.Model.next.done: cannot send a channel"},
		{"end of a long list", &long, "*codec_test.Model.next.next"},
		{"function", &Shot{List: []func(){nil, func() {}}}, "Shot.List[1]: cannot send a function"},
		{"in an interface", &Shot{Any: []any{1, make(chan int)}}, "Shot.Any.([]interface {})[1]: cannot send a channel"},
		{"in a map", &Shot{Map: map[string]any{"k": func() {}}}, `Shot.Map["k"]: cannot send a function`},
		{"mutex", locked, "Shot.inner.mu: cannot send a locked sync.Mutex"},
		{"rwmutex", rw, "Mu: cannot send a locked sync.RWMutex"},
		{"wait group", wg, "W: cannot send a sync.WaitGroup"},
		{"unsafe pointer", unsafePtr, "Shot.inner.p: cannot send an unsafe pointer"},
		{"file", &Shot{file: os.Stderr}, "Shot.file: cannot send an open file"},
		{"file in an interface", &Shot{Any: os.Stderr}, "Shot.Any.(*os.File): cannot send an open file"},
		{"type", &Shot{Any: reflect.TypeFor[int]()}, "Shot.Any.(*reflect.rtype): cannot send a reflect.Type"},
		{"reflect.Value", &Shot{Any: reflect.ValueOf(1)}, "Shot.Any: cannot send a reflect.Value"},
		{"context", &Shot{Any: ctx}, "Shot.Any.(*context.cancelCtx): cannot send a context: send what is of it as values"},
		{"context of a signal", &struct{ Ctx context.Context }{signalled}, "Ctx.(*signal.signalCtx): cannot send a context: "},
		{"context in a context", &Shot{Any: context.WithValue(ctx, wordKey{}, 1)}, "Shot.Any.(*context.valueCtx).Context.(*context.cancelCtx): cannot send a context: "},
		{"connection", &Shot{Any: conn}, "cannot send"},
		{"timer", &Shot{Any: time.NewTimer(time.Hour)}, "Shot.Any.(*time.Timer): cannot send a timer"},
		{"top", ptr(make(chan int)), "chan int: cannot send a channel"},
		{"hook error", &Shot{Any: &decimal{}}, "Shot.Any.(*codec_test.decimal): marshal a codec_test.decimal: no digits"},
		{"hook panic", &Shot{value: map[int]decimal{7: {[]byte{}}}}, "Shot.value[7]: marshal a codec_test.decimal: panic: empty"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := encodeAny(c.v)
			var refused *codec.RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func encodeAny(v any) ([]byte, error) {
	var buf bytes.Buffer
	_, err := new(codec.Encoder).Encode(&buf, v)
	return buf.Bytes(), err
}

func TestBadTargets(t *testing.T) {
	for _, v := range []any{nil, 1, (*int)(nil)} {
		if _, err := encodeAny(v); err == nil {
			t.Errorf("Encode(%v) gives no error", v)
		}
		if err := new(codec.Decoder).DecodeBytes(encode(t, ptr(1)), v); err == nil {
			t.Errorf("DecodeBytes(%v) gives no error", v)
		}
	}
}

type failing struct{ left int }

func (w *failing) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func TestWriteError(t *testing.T) {
	v := make([][]float64, 10)
	for i := range v {
		v[i] = make([]float64, 5000)
	}
	if _, err := new(codec.Encoder).Encode(&failing{100000}, &v); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestCheck(t *testing.T) {
	type holdsFile struct {
		Name string
		In   struct{ F [2]os.File }
	}
	cases := []struct {
		t    reflect.Type
		want string // "" for none
	}{
		{reflect.TypeFor[Shot](), ""},
		{reflect.TypeFor[*Shot](), ""},
		{reflect.TypeFor[[]chan int](), ""},
		{reflect.TypeFor[any](), ""},
		{reflect.TypeFor[uintptr](), ""},
		{reflect.TypeFor[chan int](), "chan int: cannot send a channel"},
		{reflect.TypeFor[func()](), "func(): cannot send a function"},
		{reflect.TypeFor[unsafe.Pointer](), "cannot send an unsafe pointer"},
		{reflect.TypeFor[*os.File](), "cannot send an open file"},
		{reflect.TypeFor[reflect.Value](), "cannot send a reflect.Value"},
		{reflect.TypeFor[holdsFile](), "holdsFile.In.F[0]: cannot send an open file"},
		{nil, "no type"},
	}
	for _, c := range cases {
		err := codec.Check(c.t)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("Check(%v) = %v, want %q", c.t, err, c.want)
		}
	}
}

func TestMismatch(t *testing.T) {
	type a struct{ X int }
	type b struct{ X int32 }
	err := new(codec.Decoder).DecodeBytes(encode(t, &a{1}), new(b))
	if !errors.Is(err, codec.ErrMismatch) || !strings.Contains(err.Error(), "holds a codec_test.a") || !strings.Contains(err.Error(), "wanted is a codec_test.b") {
		t.Errorf("got %v", err)
	}
}
