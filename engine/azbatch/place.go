package azbatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/azerror"
)

// A Place is a pool beside the first, of the same account or another. See [Config.Places].
type Place struct {
	Endpoint string // URL of the Batch account; empty: Config.Endpoint
	Pool     string // ID of the pool
	// Credential is for the account; nil: Config.Credential. Of several places in one account the first counts.
	Credential azcore.TokenCredential
}

// parsePlace reads HOST/POOL, with HOST as in an endpoint.
func parsePlace(s string) (Place, error) {
	host, pool, _ := strings.Cut(s, "/")
	if host == "" || strings.ContainsAny(host, "@?#") || !validPool(pool) {
		return Place{}, errors.New("want ACCOUNT.REGION.batch.azure.com/POOL")
	}
	return Place{Endpoint: "https://" + host, Pool: pool}, nil
}

// An account is what an engine has of one Batch account.
type account struct {
	host       string // of its endpoint: what tells accounts apart
	client     *azbatch.Client
	credential azcore.TokenCredential
}

// in is the engine as if that account were its first.
func (e *Engine) in(a *account) *Engine { return &Engine{account: a, c: e.c, log: e.log} }

// accountAt finds one by the host of its endpoint; nil: the configuration names none.
func (e *Engine) accountAt(host string) *account {
	for _, a := range e.accounts {
		if strings.EqualFold(a.host, host) {
			return a
		}
	}
	return nil
}

func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return endpoint
	}
	return strings.ToLower(u.Host)
}

// A place is a pool of an account, and the Batch job that a job has there.
type place struct {
	*account
	pool string
	id   string // of the Batch job
}

// key tells pools apart.
func (p place) key() string { return p.host + "/" + p.pool }

// name tells people which one it is.
func (p place) name() string { return "pool " + p.pool + " of " + p.host }

// maxPlaces is how many one digit tells apart.
const maxPlaces = 36

// places are those that runs may go to: all that are configured, or the pools that a call names, wherever they are.
func (e *Engine) places(p Placement) (all []place) {
	pools := strings.Split(e.c.Pool, ",")
	for _, pool := range pools {
		all = append(all, place{account: e.account, pool: pool})
	}
	for _, more := range e.c.Places {
		all = append(all, place{account: e.accountAt(hostOf(more.Endpoint)), pool: more.Pool})
	}
	if p.Pool == e.c.Pool {
		return all
	}
	var named []place
	for pool := range strings.SplitSeq(p.Pool, ",") {
		n := len(named)
		for _, at := range all {
			if at.pool == pool {
				named = append(named, at)
			}
		}
		if len(named) == n {
			named = append(named, place{account: e.account, pool: pool})
		}
	}
	return named
}

// identify gives each place of a job, whose batchID is given, the ID of its Batch job. The first of each account has the same for every choice of
// places, so that it is found by the job's name alone.
func identify(id string, places []place) {
	n := map[*account]int{}
	for i := range places {
		p := &places[i]
		p.id = id
		if k := n[p.account]; k > 0 {
			p.id += "-" + strconv.FormatInt(int64(k), maxPlaces)
		}
		n[p.account]++
	}
}

func (e *Engine) batchID(job string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return batchID(e.store, job)
}

// A split says at which place each run of a job is made. The client that makes the job decides it, and all its Batch jobs have
// it in their metadata, so that every client looks for a run, and adds it, at the same place.
type split struct {
	places []place
	order  []int // of the places: run k is made at order[k % len(order)]
}

// orderLength is how many runs are dealt before their order repeats.
const orderLength = 100

// write adds the split to the metadata of a Batch job. One place needs none.
func (s *split) write(all map[string]string) {
	if len(s.places) == 1 {
		return
	}
	var places []string
	for _, p := range s.places {
		places = append(places, p.key())
	}
	var order strings.Builder
	for _, i := range s.order {
		order.WriteString(strconv.FormatInt(int64(i), maxPlaces))
	}
	all[metaPlaces], all[metaOrder] = strings.Join(places, " "), order.String()
}

// splitOf reads the split of a job from one of its Batch jobs. If it has places in accounts that the configuration does not name, that
// is engine.ErrCannotRun, and the split has the others.
func (e *Engine) splitOf(a *account, jobID string, j *azbatch.Job) (split, error) {
	meta := metaOf(j.Metadata)
	s := split{order: []int{0}}
	if meta[metaPlaces] == "" {
		s.places = []place{{account: a, pool: *j.PoolInfo.PoolID}}
		identify(e.batchID(jobID), s.places)
		return s, nil
	}
	var unknown error
	for text := range strings.FieldsSeq(meta[metaPlaces]) {
		host, pool, _ := strings.Cut(text, "/")
		at := e.accountAt(host)
		if at == nil {
			unknown = fmt.Errorf("it also runs in the account %s, which this configuration does not name: add the setting place=%s: %w", host, text, engine.ErrCannotRun)
		}
		s.places = append(s.places, place{account: at, pool: pool})
	}
	identify(e.batchID(jobID), s.places)
	if unknown != nil {
		s.places = slices.DeleteFunc(s.places, func(p place) bool { return p.account == nil })
		return s, unknown
	}
	s.order = nil
	for _, c := range meta[metaOrder] {
		i, err := strconv.ParseInt(string(c), maxPlaces, 0)
		if err != nil || int(i) >= len(s.places) {
			return s, fmt.Errorf("the metadata of the Batch job %s is not ours: delete the job", deref(j.ID))
		}
		s.order = append(s.order, int(i))
	}
	if len(s.order) == 0 {
		return s, fmt.Errorf("the metadata of the Batch job %s is not ours: delete the job", deref(j.ID))
	}
	return s, nil
}

// where is the place of a run: the one that it was dealt to, or, as long as that one has given up, an heir of its. end tells how
// the Batch job of a place ended, nil if it goes on. -1: all have given up.
func (s *split) where(r engine.Run, end func(i int) *jobEnd) int {
	k := r.Task + r.Attempt - 1
	i := s.order[k%len(s.order)]
	seen := make([]bool, len(s.places))
	for {
		x := end(i)
		if x == nil || !x.handed() {
			return i
		}
		seen[i] = true
		heirs := slices.DeleteFunc(slices.Clone(x.heirs), func(h int) bool { return h >= len(seen) || seen[h] })
		if len(heirs) == 0 {
			return -1
		}
		i = heirs[k%len(heirs)]
	}
}

// others are all places but one.
func (s *split) others(but int) (all []int) {
	for i := range s.places {
		if i != but {
			all = append(all, i)
		}
	}
	return all
}

// absent is the end of a place at which there is no Batch job any more, while there are others.
func (s *split) absent(i int) *jobEnd {
	return &jobEnd{cause: engine.CauseNotStarted, text: "somebody deleted the Batch job there", heirs: s.others(i), completed: true}
}

// find asks all accounts at once for a job. It is engine.ErrNotExist if none has it; of one that is being deleted the split is
// returned with that.
func (e *Engine) find(ctx context.Context, jobID string) (split, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type answer struct {
		split
		part bool
		err  error
	}
	answers := make(chan answer, len(e.accounts))
	for _, a := range e.accounts {
		go func() {
			j, err := a.client.GetJob(ctx, e.batchID(jobID), &azbatch.GetJobOptions{SelectParam: jobFields})
			if err != nil {
				if status(err) == http.StatusNotFound {
					err = engine.ErrNotExist
				}
				answers <- answer{err: err}
				return
			}
			s, err := e.splitOf(a, jobID, &j.Job)
			if word(j.State) == azbatch.JobStateDeleting {
				err = engine.ErrNotExist
			}
			answers <- answer{s, isPart(&j.Job), err}
		}()
	}
	last, part := answer{err: engine.ErrNotExist}, answer{}
	for range e.accounts {
		switch a := <-answers; {
		case a.err == nil && a.part:
			part = a
		case a.err == nil, errors.Is(a.err, engine.ErrCannotRun):
			return a.split, a.err
		case !errors.Is(a.err, engine.ErrNotExist), errors.Is(last.err, engine.ErrNotExist) && len(a.places) > 0:
			last = a
		}
	}
	if !errors.Is(last.err, engine.ErrNotExist) && part.places != nil { // the first place cannot be asked: it will be there
		return part.split, nil
	}
	return last.split, last.err
}

// A pool is what is known of one to deal runs.
type pool struct {
	slots    int // of a node
	room     room
	capacity int // slots of all nodes that there are, or are to come
	busy     int // slots that were used, and those of runs that it was dealt since
	seen     time.Time
}

// poolTime is how long what is known of a pool counts.
const poolTime = time.Minute

// decide deals the runs of a new job to those places that can make them. Those that cannot are left out, if there is one that
// can.
func (e *Engine) decide(ctx context.Context, job *engine.Job, places []place) (split, error) {
	pools := make([]*pool, len(places))
	errs := make([]error, len(places))
	var all sync.WaitGroup
	for i := range places {
		all.Go(func() { pools[i], errs[i] = e.survey(ctx, job, places[i], len(places) > 1) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return split{}, context.Cause(ctx)
	}
	var s split
	var good []*pool
	for i, p := range places {
		if errs[i] == nil {
			s.places, good = append(s.places, p), append(good, pools[i])
		}
	}
	if len(s.places) == 0 {
		return s, inOneLine(errs)
	}
	for i, p := range places {
		if errs[i] != nil {
			e.leftOut(job.ID, p, errs[i])
		}
	}
	identify(e.batchID(job.ID), s.places)
	slots := make([]int, len(good))
	for i := range good {
		slots[i] = needs(job)
		if m, err := e.machineAt(ctx, s.places[i]); err == nil && job.Resources.Nodes <= 1 {
			slots[i], _ = m.slotsFor(job.Resources, "") // which survey has asked
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s.order = e.deal(s.places, good, slots, len(job.Runs))
	return s, nil
}

// leftOut tells whoever reads logs that a place does not get its share.
func (e *Engine) leftOut(job string, p place, err error) {
	e.log.Warn("azbatch: a pool cannot be used, and its share of the job goes to the others", "job", job, "pool", p.pool, "account", p.host, "err", err)
}

// deal says for runs 0, 1, 2, … where they go: to the pool that is used least, in proportion to its slots; so free slots are
// used first. Between equals the account counts that was given the least so far. slots is what a run takes of each. Callers hold mu.
func (e *Engine) deal(places []place, pools []*pool, slots []int, n int) (order []int) {
	if len(places) == 1 {
		return []int{0}
	}
	given := make([]int, len(places))
	load := make([]int, len(places))
	for i, p := range pools {
		load[i] = p.busy
	}
	for k := range max(n, orderLength) {
		best, least := 0, 0.0
		for i, p := range pools {
			l := float64(load[i]+slots[i]) / float64(p.capacity)
			if i == 0 || l < least || l == least && e.given[places[i].account] < e.given[places[best].account] {
				best, least = i, l
			}
		}
		load[best] += slots[best]
		if k < n {
			given[best]++
			pools[best].busy += slots[best]
			e.given[places[best].account] += slots[best]
		}
		if k < orderLength {
			order = append(order, best)
		}
	}
	if n > orderLength {
		order = inProportion(given)
	}
	return order
}

// inProportion makes an order in which each place comes as often as its share says, evenly spread.
func inProportion(share []int) (order []int) {
	total := 0
	for _, n := range share {
		total += n
	}
	due := make([]int, len(share))
	for range orderLength {
		next := 0
		for i, n := range share {
			if due[i] += n; due[i] > due[next] {
				next = i
			}
		}
		due[next] -= total
		order = append(order, next)
	}
	return order
}

// survey looks at the pool of a place, which is made if need be. It refuses one that is not there, whose nodes are too small, or
// that can never run anything.
func (e *Engine) survey(ctx context.Context, job *engine.Job, at place, nodes bool) (*pool, error) {
	e.mu.Lock()
	known := e.pools[at.key()]
	e.mu.Unlock()
	if known == nil || time.Since(known.seen) > poolTime {
		p, err := e.look(ctx, at, nodes)
		if err != nil {
			return nil, err
		}
		e.mu.Lock()
		if known = e.pools[at.key()]; known == nil || time.Since(known.seen) > poolTime { // else another call has looked, and dealt
			e.pools[at.key()], known = p, p
		}
		e.mu.Unlock()
	}
	if n := job.Resources.Nodes; n > 1 {
		if err := known.holds(n, at.pool); err != nil {
			return nil, err
		}
	}
	m, err := e.machineAt(ctx, at)
	if err == nil {
		_, err = m.slotsFor(job.Resources, at.pool)
	}
	return known, err
}

// look asks for a pool, and, if they matter, its nodes.
func (e *Engine) look(ctx context.Context, at place, nodes bool) (*pool, error) {
	r, err := at.client.GetPool(ctx, at.pool, nil)
	canMake := e.c.Make.VMSize != "" && e.configured(at)
	if err == nil && word(r.State) == azbatch.PoolStateDeleting {
		if nodes || !canMake {
			return nil, fmt.Errorf("the pool %s is being deleted: wait some minutes until it is gone and create it anew, or name another with the setting pool: %w", at.pool, engine.ErrCannotRun)
		}
		r, err = e.untilGone(ctx, at)
	}
	if code(err) == "PoolNotFound" && canMake {
		if _, err := e.in(at.account).createPool(ctx, at.pool, e.c.Make); err != nil {
			return nil, fmt.Errorf("pool %s: %w", at.pool, err)
		}
		r, err = at.client.GetPool(ctx, at.pool, nil)
	}
	if code(err) == "PoolNotFound" {
		return nil, fmt.Errorf("the account has no pool %s: create it, or name another with the setting pool: %w", at.pool, engine.ErrCannotRun)
	}
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", at.pool, explain(err))
	}
	e.learn(ctx, at, &r.Pool)
	p := &pool{slots: slotsOf(&r.Pool), room: roomOf(&r.Pool), seen: time.Now()}
	p.capacity = p.slots
	if !nodes {
		return p, nil
	}
	d, err := at.diagnose(ctx, at.pool, "")
	if err != nil {
		return nil, fmt.Errorf("pool %s: %w", at.pool, explain(err))
	}
	if d.hopeless || d.stuck && !d.usable {
		return nil, errors.New(d.text)
	}
	p.busy = d.busy
	p.capacity = max(p.slots, p.slots*max(d.nodes, int(deref32(r.TargetDedicatedNodes)+deref32(r.TargetLowPriorityNodes))-d.bad))
	return p, nil
}

// untilGone asks for a pool that is being deleted until it is not: it is gone, or somebody has made one of that name.
func (e *Engine) untilGone(ctx context.Context, at place) (r azbatch.GetPoolResponse, err error) {
	e.log.Warn("azbatch: the pool is being deleted, and is made anew when it is gone, which takes some minutes", "pool", at.pool, "account", at.host)
	for began := time.Now(); time.Since(began) < e.c.Start; {
		select {
		case <-time.After(e.c.Poll):
		case <-ctx.Done():
			return r, context.Cause(ctx)
		}
		if r, err = at.client.GetPool(ctx, at.pool, nil); err != nil || word(r.State) != azbatch.PoolStateDeleting {
			return r, err
		}
	}
	return r, fmt.Errorf("it has been deleted for longer than %v, and is not gone: %w", e.c.Start, engine.ErrCannotRun)
}

// configured reports whether the configuration names the place, and not just a call.
func (e *Engine) configured(at place) bool {
	for _, p := range e.places(e.c.Placement) {
		if p.account == at.account && p.pool == at.pool {
			return true
		}
	}
	return false
}

// inOneLine joins errors.
func inOneLine(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return &azerror.Error{Text: strings.Join(texts, "; "), Err: errors.Join(errs...)}
}

// taskFieldsToCopy is what is asked of tasks that are to be made elsewhere.
var taskFieldsToCopy = []string{"id", "commandLine", "requiredSlots", "constraints", "environmentSettings", "userIdentity", "multiInstanceSettings",
	"containerSettings", "resourceFiles"}

// copyTask makes a task anew as it is elsewhere.
func copyTask(t *azbatch.Task) azbatch.CreateTaskContent {
	return azbatch.CreateTaskContent{ID: t.ID, CommandLine: t.CommandLine, RequiredSlots: t.RequiredSlots, Constraints: t.Constraints,
		EnvironmentSettings: t.EnvironmentSettings, UserIdentity: t.UserIdentity, MultiInstanceSettings: t.MultiInstanceSettings,
		ContainerSettings: t.ContainerSettings, ResourceFiles: t.ResourceFiles}
}

// tasksOf are the tasks of a place, as they can be made elsewhere.
func (p place) tasksOf(ctx context.Context) (map[engine.Run]azbatch.CreateTaskContent, error) {
	all := map[engine.Run]azbatch.CreateTaskContent{}
	for pages := p.client.NewListTasksPager(p.id, &azbatch.ListTasksOptions{SelectParam: taskFieldsToCopy, MaxResults: to.Ptr[int32](1000)}); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for i := range page.Value {
			if r, ok := parseTask(*page.Value[i].ID); ok {
				all[r] = copyTask(&page.Value[i])
			}
		}
	}
	return all, nil
}
