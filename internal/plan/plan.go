// Package plan holds what a job is on paper: its manifest, how its calls are split into tasks, the names of its
// blobs and the bytes in them. It is pure data: nothing here reads a store or starts a process.
// docs/store-format.md is its specification.
package plan

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"time"
)

// Version is the version of the format in the store. A reader refuses any other.
const Version = 1

// A Shape is how a task spreads over processes and nodes. Its zero value is one process on one node.
type Shape struct {
	Nodes        int  `json:"nodes,omitempty"`
	Ranks        int  `json:"ranks,omitempty"` // of an MPI program, on all nodes together
	RanksPerNode int  `json:"ranksPerNode,omitempty"`
	Threads      int  `json:"threads,omitempty"` // of each rank
	Bind         bool `json:"bind,omitempty"`    // ranks to cores
}

// A Manifest says what a job is. It is the first blob of a job, and its creation is what makes the job exist.
type Manifest struct {
	Version int    `json:"version"`
	Job     string `json:"job"`
	Func    string `json:"func"`
	In      string `json:"in"`  // Go type of an input
	Out     string `json:"out"` // Go type of a result
	// InPrint and OutPrint are the hexadecimal fingerprints of these types, by package codec; "" in manifests of
	// programs that wrote none.
	InPrint  string `json:"inPrint,omitempty"`
	OutPrint string `json:"outPrint,omitempty"`

	Created time.Time `json:"created"`
	By      string    `json:"by"` // user@host pid of the client that made it, for people
	// Client is what the engine calls the client that sends the inputs.
	Client string `json:"client,omitempty"`
	// Program is the hex SHA-256 of the executable that runs the calls.
	Program string `json:"program"`
	GOOS    string `json:"goos"`
	GOARCH  string `json:"goarch"`
	// Temporary jobs have a made-up name, and go when their session closes.
	Temporary bool `json:"temporary,omitempty"`
	// Reduce says that an input is a list of references to stored values, which the worker reads into the slice
	// that the Func takes.
	Reduce bool `json:"reduce,omitempty"`
	// Flat says that inputs are packed several to a message, as a slice.
	FlatIn  bool `json:"flatIn,omitempty"`
	FlatOut bool `json:"flatOut,omitempty"`
	// Adaptive jobs are planned as they go, by a client that is there; a worker hands back what waits behind a
	// long call.
	Adaptive bool `json:"adaptive,omitempty"`

	Shape        Shape         `json:"shape,omitzero"`
	Cores        int           `json:"cores,omitempty"` // on each node
	Memory       int64         `json:"memory,omitempty"`
	GPUs         int           `json:"gpus,omitempty"`     // on each node
	Settings     []string      `json:"settings,omitempty"` // scheme.name=value, of engines
	Priority     int           `json:"priority,omitempty"`
	Isolated     bool          `json:"isolated,omitempty"`
	Timeout      time.Duration `json:"timeout,omitempty"`      // of one call
	StartTimeout time.Duration `json:"startTimeout,omitempty"` // of a worker process
	Retries      int           `json:"retries"`                // of a task whose process died
	RetryErrors  int           `json:"retryErrors,omitempty"`  // of a call that returned an error or panicked
	Backoff      time.Duration `json:"backoff"`                // before the first retry; doubles
	Span         int           `json:"span,omitempty"`         // calls a task, if the user fixed it
	Env          []string      `json:"env,omitempty"`          // names and values for the worker's environment
	Budget       float64       `json:"budget,omitempty"`       // USD that it may cost; a client stops it then

	Includes     []Include `json:"includes,omitempty"`
	Return       []string  `json:"return,omitempty"`       // patterns of files to return
	ReturnFailed bool      `json:"returnFailed,omitempty"` // also from calls that failed
}

// An Include is a file that every call finds in its directory.
type Include struct {
	Path string `json:"path"` // below the call's directory, slashes
	SHA  string `json:"sha"`  // hex SHA-256; its blob is ValueKey(SHA)
	Size int64  `json:"size"`
	Exec bool   `json:"exec,omitempty"`
}

// A Record is one step of a job's plan: input parts that are there, and tasks over them. Records are numbered
// from 0 and created once each; together, in order, they are the plan.
type Record struct {
	Parts []Part  `json:"parts,omitempty"`
	Tasks []Tasks `json:"tasks,omitempty"`
	// Total is the number of calls of the job, once it is known.
	Total *int `json:"total,omitempty"`
	// Cut says that Total is what there is, but not all: the client stopped sending before its time.
	Cut bool `json:"cut,omitempty"`
}

// A Part is one blob of packed inputs.
type Part struct {
	First int   `json:"first"` // its first call
	Calls int   `json:"calls"`
	Size  int64 `json:"size"` // bytes
	// Deps says that the index names calls that must end well before calls of this part can start.
	Deps bool `json:"deps,omitempty"`
}

// Tasks are N tasks in a row, each of Span calls in a row, beginning with call First; the last has what is left of
// Calls. Task numbers go on from those of the records before.
type Tasks struct {
	First int `json:"first"`
	Calls int `json:"calls"`
	Span  int `json:"span"`
}

// N is the number of tasks.
func (t Tasks) N() int {
	if t.Span <= 0 {
		return 0
	}
	return (t.Calls + t.Span - 1) / t.Span
}

// A Span is the calls [First, End) of one task.
type Span struct{ First, End int }

// A Plan is the sum of the records read so far.
type Plan struct {
	Records int // how many were added
	Parts   []Part
	Spans   []Span // by task
	Inputs  int    // calls whose inputs are there
	Total   int    // -1 while unknown
	Cut     bool   // the inputs ended before their time
}

// New returns a plan with no records.
func New() *Plan { return &Plan{Total: -1} }

// Add takes in the next record.
func (p *Plan) Add(r Record) error {
	for _, part := range r.Parts {
		if p.Total >= 0 {
			return fmt.Errorf("%w plan record %d: inputs after the end", ErrDamaged, p.Records)
		}
		if part.First != p.Inputs || part.Calls <= 0 {
			return fmt.Errorf("%w plan record %d: part of %d calls begins at call %d, want call %d", ErrDamaged, p.Records, part.Calls, part.First, p.Inputs)
		}
		p.Parts = append(p.Parts, part)
		p.Inputs += part.Calls
	}
	for _, t := range r.Tasks {
		if t.First < 0 || t.Calls <= 0 || t.Span <= 0 || t.First+t.Calls > p.Inputs || t.First+t.Calls < t.First {
			return fmt.Errorf("%w plan record %d: tasks of calls %d to %d of %d", ErrDamaged, p.Records, t.First, t.First+t.Calls, p.Inputs)
		}
		for a := t.First; a < t.First+t.Calls; a += t.Span {
			p.Spans = append(p.Spans, Span{a, min(a+t.Span, t.First+t.Calls)})
		}
	}
	if r.Total != nil {
		if *r.Total < p.Inputs {
			return fmt.Errorf("%w plan record %d: %d calls in all, but %d are there", ErrDamaged, p.Records, *r.Total, p.Inputs)
		}
		p.Total, p.Cut = *r.Total, r.Cut
	}
	p.Records++
	return nil
}

// Part returns the number of the part that holds the call's input.
func (p *Plan) Part(call int) (int, bool) {
	lo, hi := 0, len(p.Parts)
	for lo < hi {
		m := (lo + hi) / 2
		if p.Parts[m].First+p.Parts[m].Calls <= call {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == len(p.Parts) || call < p.Parts[lo].First {
		return 0, false
	}
	return lo, true
}

// Marshal returns the record's bytes: the CRC-32C of the JSON in 8 hexadecimal digits, a space, the JSON.
func (r Record) Marshal() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers only
	}
	return append(fmt.Appendf(nil, "%08x ", crc32.Checksum(b, castagnoli)), b...)
}

// ParseRecord reads a record's bytes.
func ParseRecord(b []byte) (r Record, err error) {
	var sum uint32
	if len(b) < 9 || b[8] != ' ' {
		return r, fmt.Errorf("plan record is cut off: %w", ErrDamaged)
	}
	if _, err := fmt.Sscanf(string(b[:8]), "%08x", &sum); err != nil || sum != crc32.Checksum(b[9:], castagnoli) {
		return r, fmt.Errorf("plan record has another checksum than was written: %w", ErrDamaged)
	}
	if err = json.Unmarshal(b[9:], &r); err != nil {
		err = fmt.Errorf("plan record: %w: %w", ErrDamaged, err)
	}
	return r, err
}
