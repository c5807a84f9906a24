package mpi

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"

	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// marks are what mpiexec puts in front of the lines of ranks, and of the pieces in which it reads long ones: those of Open MPI can
// be told from text.
var marks = map[lib.ABI]*regexp.Regexp{
	lib.OpenMPI: regexp.MustCompile(`\[\d+,(\d+)\]<(?:stdout|stderr)>: ?`),
	lib.MPICH:   regexp.MustCompile(`^\[(\d+)\] ?`),
}

const (
	ownSize = 4 << 10  // of mpiexec's own words that are kept for an error
	maxLine = 64 << 10 // of a line that is held until its end
)

// output is what an mpiexec and its ranks print. Lines of ranks are logged with their rank; what mpiexec says itself is kept,
// too, for the error.
type output struct {
	mark    *regexp.Regexp
	mu      sync.Mutex
	words   []byte
	muted   bool
	streams []*lines
}

func newOutput(abi lib.ABI) *output { return &output{mark: marks[abi]} }

// lines is one of its streams.
type lines struct {
	o    *output
	to   *os.File
	rest []byte // a line that has not ended
}

func (o *output) stream(to *os.File) io.Writer {
	l := &lines{o: o, to: to}
	o.streams = append(o.streams, l)
	return l
}

// Write logs whole lines; very long ones are cut.
func (l *lines) Write(b []byte) (int, error) {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.rest = append(l.rest, b...)
	if len(l.rest) > maxLine && bytes.IndexByte(l.rest, '\n') < 0 {
		l.rest = append(l.rest, '\n')
	}
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	var log []byte
	for line := range bytes.Lines(l.rest[:end]) {
		log = l.line(log, line)
	}
	l.rest = append(l.rest[:0], l.rest[end:]...)
	l.to.Write(log)
	return len(b), nil
}

// line appends what is to be logged of a line.
func (l *lines) line(log, line []byte) []byte {
	o := l.o
	found := o.mark.FindAllSubmatchIndex(line, -1)
	if found == nil || found[0][0] > 0 {
		if o.muted {
			return log
		}
		if o.words = append(o.words, line...); len(o.words) > ownSize {
			o.words = o.words[len(o.words)-ownSize:]
		}
		return append(log, line...)
	}
	last := ""
	for i, at := range found {
		end := len(line)
		if i+1 < len(found) {
			end = found[i+1][0]
		}
		if rank := string(line[at[2]:at[3]]); rank != last {
			if last != "" {
				log = append(log, '\n')
			}
			log = fmt.Appendf(log, "rank %s: ", rank)
			last = rank
		}
		log = append(log, line[at[1]:end]...)
	}
	return log
}

// flush logs a last line without an end.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.streams {
		if len(l.rest) > 0 {
			l.to.Write(l.line(nil, append(l.rest, '\n')))
			l.rest = nil
		}
	}
}

// own is the end of what mpiexec said itself.
func (o *output) own() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.TrimSpace(string(o.words))
}

// mute drops what mpiexec says itself from here on: it was we who ended the ranks.
func (o *output) mute() {
	o.mu.Lock()
	o.muted = true
	o.mu.Unlock()
}
