package faults

import (
	"bytes"
	"math/rand/v2"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

// An Injector keeps rules and applies them. Safe for concurrent use.
type Injector struct {
	operation func(*http.Request) string

	mu    sync.Mutex
	seed  uint64
	last  uint64 // number of the latest rule
	rules []*active
}

// An active rule counts.
type active struct {
	Rule
	number uint64
	path   *regexp.Regexp
	seen   int // requests that fit
}

// New returns an Injector without rules. The operation of a request is its operationId in the API's description, or empty.
func New(operation func(*http.Request) string, seed uint64) *Injector {
	return &Injector{operation: operation, seed: seed}
}

// Add puts a rule behind the others and returns it with its ID. Of the rules that fit a request the first one strikes.
func (i *Injector) Add(r Rule) (Rule, error) {
	match, err := r.check()
	if err != nil {
		return Rule{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.last++
	r.ID, r.Hits = strconv.FormatUint(i.last, 10), 0
	i.rules = append(i.rules, &active{Rule: r, number: i.last, path: match})
	return r, nil
}

// Rules returns the rules with what they did so far.
func (i *Injector) Rules() []Rule {
	i.mu.Lock()
	defer i.mu.Unlock()
	rules := make([]Rule, len(i.rules))
	for n, a := range i.rules {
		rules[n] = a.Rule
	}
	return rules
}

// Remove removes a rule; false means that there is none of this ID.
func (i *Injector) Remove(id string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	before := len(i.rules)
	i.rules = slices.DeleteFunc(i.rules, func(a *active) bool { return a.ID == id })
	return len(i.rules) < before
}

func (i *Injector) removeAll() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.rules = nil
}

// Replace begins anew, with other rules: all of them, or none when there is an error. The same rules with the same seed
// strike the same requests of a sequence.
func (i *Injector) Replace(seed uint64, rules ...Rule) error {
	for n := range rules {
		if _, err := rules[n].check(); err != nil {
			return err
		}
	}
	i.mu.Lock()
	i.seed, i.last, i.rules = seed, 0, nil
	i.mu.Unlock()
	for _, r := range rules {
		if _, err := i.Add(r); err != nil {
			return err
		}
	}
	return nil
}

// pick finds the rule that strikes a request.
func (i *Injector) pick(r *http.Request) (Rule, bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.rules) == 0 {
		return Rule{}, false
	}
	operation := i.operation(r)
	for _, a := range i.rules {
		if a.fits(r, operation) && a.strikes(i.seed) {
			a.Hits++
			return a.Rule, true
		}
	}
	return Rule{}, false
}

func (a *active) fits(r *http.Request, operation string) bool {
	if a.Method != "" && a.Method != r.Method || !a.path.MatchString(r.URL.Path) {
		return false
	}
	fits, _ := path.Match(a.Operation, operation) // check has seen the pattern
	return fits || a.Operation == ""
}

// strikes decides by seed, rule and number of the request alone, so that the order in which requests of other rules arrive
// changes nothing.
func (a *active) strikes(seed uint64) bool {
	a.seen++
	if a.seen <= a.Skip || a.Count > 0 && a.Hits >= a.Count {
		return false
	}
	return a.Rate == 0 || rand.New(rand.NewPCG(seed, a.number<<32+uint64(a.seen))).Float64() < a.Rate
}

// Handler applies the rules to the requests for next.
func (i *Injector) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rule, strikes := i.pick(r)
		if !strikes {
			next.ServeHTTP(w, r)
			return
		}
		if rule.Delay > 0 {
			t := time.NewTimer(time.Duration(rule.Delay))
			defer t.Stop()
			select {
			case <-t.C:
			case <-r.Context().Done(): // the client has not waited
				panic(http.ErrAbortHandler)
			}
		}
		switch {
		case rule.Code != "":
			wire.Error(w, r, rule.err())
		case rule.Drop == "":
			next.ServeHTTP(w, r)
		case rule.Drop == DropBefore:
			panic(http.ErrAbortHandler)
		default:
			answer := &recorder{header: w.Header(), status: http.StatusOK}
			next.ServeHTTP(answer, r)
			if rule.Drop == DropMidway {
				answer.half(w)
			}
			panic(http.ErrAbortHandler)
		}
	})
}

// A recorder holds an answer back.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// half sends the header of the answer and half of its body.
func (r *recorder) half(w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.Itoa(max(r.body.Len(), 1)))
	w.WriteHeader(r.status)
	w.Write(r.body.Bytes()[:r.body.Len()/2])
	http.NewResponseController(w).Flush() // without it nothing might be sent at all
}
