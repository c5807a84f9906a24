package store

import "io"

// Source makes the io.Reader that Put takes from a function that writes. A driver lets it write itself, without a
// pipe between. The function may be called any number of times, one after the other, and writes the same each time:
// so a Put can be tried again. It must be closed if it was read in part. Only one goroutine may use it.
func Source(write func(io.Writer) error) *Written { return &Written{write: write} }

// Written is what [Source] returns. It is a [Rewinder].
type Written struct {
	write func(io.Writer) error
	r     *io.PipeReader
	ended chan struct{} // of the goroutine that writes to r
}

// WriteTo calls the function.
func (s *Written) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	err := s.write(c)
	return c.n, err
}

// Read runs the function in a goroutine and reads what it writes.
func (s *Written) Read(b []byte) (int, error) {
	if s.r == nil {
		r, w := io.Pipe()
		s.r, s.ended = r, make(chan struct{})
		go func() {
			defer close(s.ended)
			w.CloseWithError(s.write(w))
		}()
	}
	return s.r.Read(b)
}

// Rewind makes the next Read begin at the start.
func (s *Written) Rewind() error { return s.Close() }

// Close ends a function that was read in part: its next write fails, and Close waits for it to return.
func (s *Written) Close() error {
	if s.r != nil {
		s.r.Close()
		<-s.ended
		s.r = nil
	}
	return nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}
