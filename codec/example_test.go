package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"

	"github.com/clusterless-go/clusterless/codec"
)

type Node struct {
	Name string
	next *Node // unexported, and a cycle
	Data any   // no registration
}

func Example() {
	in := &Node{Name: "a", Data: []float64{1, 2, 3}}
	in.next = &Node{Name: "b", Data: map[string]int{"x": 1}, next: in}

	var buf bytes.Buffer
	if _, err := new(codec.Encoder).Encode(&buf, &in); err != nil {
		fmt.Println(err)
		return
	}
	var out *Node
	if err := new(codec.Decoder).Decode(&buf, &out); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out.Data, out.next.Data, out.next.next == out)
	// Output: [1 2 3] map[x:1] true
}

func ExampleRefusedError() {
	type Model struct{ done chan bool }
	type Shot struct{ Model *Model }
	shot := Shot{&Model{done: make(chan bool)}}
	_, err := new(codec.Encoder).Encode(io.Discard, &shot)
	fmt.Println(err)
	// Output: codec: Shot.Model.done: cannot send a channel
}

func ExampleCheck() {
	type Job struct {
		Out  os.File
		Done chan bool
	}
	fmt.Println(codec.Check(reflect.TypeFor[Job]()))
	// Output: codec: Job.Out: cannot send an open file
}

var ErrDiverged = errors.New("the solver diverged")

type solverError struct {
	log func(string)
	err error
}

func (e *solverError) Error() string { return "step 7: " + e.err.Error() }
func (e *solverError) Unwrap() error { return e.err }

func ExamplePortable() {
	var err error = &solverError{func(string) {}, ErrDiverged} // a function cannot travel
	err = codec.Portable(err)

	var buf bytes.Buffer
	new(codec.Encoder).Encode(&buf, &err)
	var got error
	new(codec.Decoder).Decode(&buf, &got)
	fmt.Println(got, errors.Is(got, ErrDiverged))
	// Output: step 7: the solver diverged true
}
