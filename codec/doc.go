// Package codec turns Go values into bytes and back, to move them between processes of one program.
//
//	var buf bytes.Buffer
//	_, err := new(codec.Encoder).Encode(&buf, &shot)
//	...
//	var shot Shot
//	err := new(codec.Decoder).Decode(&buf, &shot)
//
// What travels is the value, not a projection of it: unexported fields, pointers and maps that are shared or
// lead back to themselves, nil as against empty, the bits of floating-point numbers, the zones of times, values
// in interfaces without any registration. Types that implement encoding.BinaryMarshaler (or BinaryAppender) and
// encoding.BinaryUnmarshaler travel through these methods. Errors keep their chain and, within one build of the
// program, the identity of package-level variables, so that errors.Is works; [Portable] makes any error fit to
// travel.
//
// Memory without pointers, such as slices of numbers, moves as memory: between the value and the reader or
// writer without a copy in between ([Encoder.Encode], [Decoder.Decode]), or by aliasing a mapped file
// ([Decoder.Map]).
//
// # What does not travel
//
// Channels, functions and unsafe pointers that are not nil; open files, connections and other handles of the
// process; locked mutexes. They are a [*RefusedError], which names the way to them: Shot.Model.done. Values of
// sync.Mutex and the like arrive as zero.
//
// # What changes on the way
//
//   - Slices arrive with no spare capacity. Two slices with the same first element, length and type arrive as
//     one, as do two pointers of the same type to the same variable. Slices that otherwise overlap, and pointers
//     to elements of slices or fields of structs, arrive as copies of what they point to.
//   - Pointers to package-level variables arrive as pointers to copies, except of errors.
//   - Times lose their monotonic reading. A zone that the receiver does not have, or has other rules for, becomes
//     one fixed at the offset that the time had; so does the local zone of another machine.
//   - Strings, too, are copied: shared bytes are not noticed.
//   - A pointer that was decoded may lead into an array of several values of its type: such a value cannot be
//     given a finalizer, and keeps its few neighbours in memory.
//
// # Other builds
//
// A message holds a fingerprint of its type, and of each type in an interface. Decoding into a type that changed
// is an [ErrMismatch] that says so, never garbage. A message of another build of the program is read if all types
// agree; errors then keep their identity only if they are well known (io.EOF, fs.ErrNotExist, context.Canceled
// and so on) or were given to [Register].
//
// # Hostile messages
//
// Any bytes may be decoded: they give an error, and the memory that is allocated stays in proportion to the
// number of bytes there are. The factor depends on the type decoded into (a slice takes 24 bytes of memory and at
// least 1 of the message). Note that a message chooses which types of the program its interfaces hold, and that
// the UnmarshalBinary methods of these types are called.
//
// The format is specified in docs/codec-format.md.
package codec
