package codec_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"reflect"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/codec"
)

type codeError struct {
	Code int
	Text string
}

func (e *codeError) Error() string { return fmt.Sprint(e.Code, e.Text) }

type brokenError struct {
	done chan int
	err  error
}

func (e *brokenError) Error() string        { return "broken: " + e.err.Error() }
func (e *brokenError) Unwrap() error        { return e.err }
func (e *brokenError) Is(target error) bool { return target == fs.ErrExist }

type panickingError struct{ f func() }

func (panickingError) Error() string { panic("no text") }

var (
	ErrOurs            = errors.New("ours")
	ErrSameText        = errors.New("ours")
	errFormatted       = fmt.Errorf("formatted %d: %w", 1, ErrOurs)
	errTyped           = &codeError{7, "typed"}
	errInterface error = &codeError{8, "interface"}
	errChannel   error = &brokenError{make(chan int), ErrOurs}
	errValue     error = syscall.Errno(9999)
	errTable           = [...]error{nil, errors.New("in a table")}
)

func TestSentinels(t *testing.T) {
	_, notExist := os.Open("/does/not/exist")
	_, syntax := strconv.Atoi("x")
	sentinels := []error{
		ErrOurs, ErrSameText, errFormatted, errTyped, errInterface, errChannel, errValue, errTable[1],
		io.EOF, io.ErrUnexpectedEOF, fs.ErrNotExist, context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded,
		net.ErrClosed, http.ErrServerClosed, http.ErrNotSupported, syscall.ENOENT, errors.ErrUnsupported, strconv.ErrSyntax,
	}
	for _, want := range sentinels {
		if got := travel(t, want); got != want {
			t.Errorf("%v arrives as %v, which is not the same", want, got)
		}
		if got := travel(t, fmt.Errorf("wrapped: %w", want)); !errors.Is(got, want) {
			t.Errorf("%v cannot be found when wrapped", want)
		}
		if got := travel(t, errors.Join(errors.New("other"), &fs.PathError{Op: "open", Path: "x", Err: want})); !errors.Is(got, want) {
			t.Errorf("%v cannot be found when joined", want)
		}
		if got := travel(t, []any{want, want}); got[0] != any(want) || got[1] != got[0] {
			t.Errorf("%v in an any arrives as %v", want, got)
		}
	}
	if got := travel(t, notExist); !errors.Is(got, fs.ErrNotExist) || got.Error() != notExist.Error() {
		t.Errorf("got %v", got)
	}
	var pathErr *fs.PathError
	if got := travel(t, notExist); !errors.As(got, &pathErr) || pathErr.Path != "/does/not/exist" {
		t.Errorf("got %#v", got)
	}
	if got := travel(t, syntax); !errors.Is(got, strconv.ErrSyntax) || !reflect.DeepEqual(got, syntax) {
		t.Errorf("got %v", got)
	}
	if got := travel(t, ErrOurs); got == ErrSameText {
		t.Error("errors of the same text are confused")
	}
	if fresh := errors.New("ours"); travel(t, fresh) == ErrOurs {
		t.Error("a new error is confused with a sentinel of the same text")
	}
	if got := travel(t, error(nil)); got != nil {
		t.Errorf("nil arrives as %v", got)
	}
	var typed error = (*codeError)(nil)
	if got := travel(t, typed); got != typed {
		t.Errorf("a nil *codeError arrives as %#v", got)
	}
}

func TestSharedError(t *testing.T) {
	err := &codeError{1, "x"}
	got := travel(t, struct {
		p *codeError
		e error
		a any
	}{err, err, err})
	if got.e != error(got.p) || got.a != any(got.p) {
		t.Error("an error is not shared any more")
	}
}

func TestPortable(t *testing.T) {
	for _, err := range []error{nil, io.EOF, errChannel, fmt.Errorf("x: %w", errTyped)} {
		if got := codec.Portable(err); got != err {
			t.Errorf("Portable(%v) = %v", err, got)
		}
	}
	broken := &brokenError{make(chan int), errors.Join(ErrOurs, context.Canceled, &codeError{5, "five"})}
	err := fmt.Errorf("outer: %w", broken)
	got := travel(t, codec.Portable(err))
	var code *codeError
	switch {
	case got.Error() != err.Error():
		t.Errorf("text: got %q, want %q", got, err)
	case !errors.Is(got, ErrOurs), !errors.Is(got, context.Canceled):
		t.Error("sentinels are lost")
	case !errors.Is(got, fs.ErrExist):
		t.Error("what the method Is said is lost")
	case !errors.As(got, &code) || code.Code != 5:
		t.Error("an error that can travel is lost")
	}
	if got := travel(t, codec.Portable(panickingError{func() {}})); got == nil {
		t.Error("got nil")
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), 0, broken)
	defer cancel()
	<-ctx.Done()
	if got := travel(t, codec.Portable(context.Cause(ctx))); got.Error() != broken.Error() {
		t.Errorf("got %v", got)
	}
}

func TestRegister(t *testing.T) {
	var local = &codeError{99, time.Now().String()}
	codec.Register(local)
	if got := travel(t, error(local)); got != error(local) {
		t.Error("a registered error is not the same afterwards")
	}
	codec.Register(point{})
}
