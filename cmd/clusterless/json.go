package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/clusterless-go/clusterless"
)

// What commands write with --json is specified in docs/commands.md: fields may be added, and none is renamed or removed.

// jobJSON writes a job for programs.
func jobJSON(ctx context.Context, w io.Writer, info clusterless.JobInfo, j *clusterless.AnyJob, err error) error {
	out := struct {
		Name      string    `json:"name"`
		Func      string    `json:"func"`
		Created   time.Time `json:"created"`
		By        string    `json:"by"`
		Temporary bool      `json:"temporary"`
		State     string    `json:"state"`
		Activity  string    `json:"activity,omitempty"` // what the engine does with it
		Total     *int      `json:"total"`              // null while it is not known
		Done      int       `json:"done"`
		Failed    int       `json:"failed"`
		Retries   int       `json:"retries"`
		Error     string    `json:"error,omitempty"`
	}{Name: info.Name, Func: info.Func, Created: info.Created, By: info.By, Temporary: info.Temporary}
	if err != nil {
		out.State, out.Error = "broken", err.Error()
	} else {
		st := j.Status()
		if st.Total >= 0 {
			out.Total = &st.Total
		}
		out.Activity = activity(ctx, j)
		out.State, out.Done, out.Failed, out.Retries = state(st), st.Done, st.Failed, st.Retries
		if st.Err != nil {
			out.Error = st.Err.Error()
		}
	}
	return json.NewEncoder(w).Encode(out)
}

// statsJSON writes the figures of a job for programs.
func statsJSON(w io.Writer, st clusterless.Stats) error {
	type times struct {
		Least  float64 `json:"least"`
		P10    float64 `json:"p10"`
		Median float64 `json:"median"`
		P90    float64 `json:"p90"`
		P99    float64 `json:"p99"`
		Most   float64 `json:"most"`
	}
	type node struct {
		Name      string  `json:"name"`
		Calls     int     `json:"calls"`
		Processes int     `json:"processes"`
		Busy      float64 `json:"busy"`
	}
	type cost struct {
		Spent     float64   `json:"spent"`
		Hour      float64   `json:"hour"`
		NodeHours float64   `json:"node_hours"`
		Prices    time.Time `json:"prices,omitzero"` // their date
		Unknown   string    `json:"unknown,omitempty"`
	}
	out := struct {
		Name    string    `json:"name"`
		Created time.Time `json:"created"`
		Started time.Time `json:"started,omitzero"`
		Ended   time.Time `json:"ended,omitzero"`
		Calls   int       `json:"calls"`
		Failed  int       `json:"failed"`
		Retries int       `json:"retries"`
		Untimed int       `json:"untimed"`
		Busy    float64   `json:"busy"`
		Times   times     `json:"times"`
		Nodes   []node    `json:"nodes"`
		Cost    *cost     `json:"cost,omitempty"`
	}{Name: st.Job, Created: st.Created, Started: st.Started, Ended: st.Ended, Calls: st.Calls, Failed: st.Failed, Retries: st.Retries, Untimed: st.Untimed,
		Busy: st.Busy.Seconds(), Nodes: []node{}}
	q := st.Quantiles
	out.Times = times{q[0].Seconds(), q[1].Seconds(), q[2].Seconds(), q[3].Seconds(), q[4].Seconds(), q[5].Seconds()}
	for _, name := range slices.Sorted(maps.Keys(st.Nodes)) {
		u := st.Nodes[name]
		out.Nodes = append(out.Nodes, node{name, u.Calls, u.Processes, u.Busy.Seconds()})
	}
	if c := st.Cost; c != (clusterless.Cost{}) {
		out.Cost = &cost{c.Spent, c.Hour, c.NodeTime.Hours(), c.Prices, c.Unknown}
	}
	return json.NewEncoder(w).Encode(out)
}

// fileJSON writes a file that a call returned for programs.
func fileJSON(w io.Writer, call int, name string, size int64) error {
	return json.NewEncoder(w).Encode(struct {
		Call int    `json:"call"`
		Name string `json:"name"`
		Size int64  `json:"size"`
	}{call, name, size})
}

// priceJSON writes what a node costs by the hour for programs, and what many cost if total is not nil.
func priceJSON(w io.Writer, region, size string, dedicated, spot float64, date time.Time, total *float64) error {
	known := func(usd float64) *float64 {
		if usd == 0 {
			return nil
		}
		return &usd
	}
	return json.NewEncoder(w).Encode(struct {
		Region    string   `json:"region"`
		VMSize    string   `json:"vmsize"`
		Dedicated *float64 `json:"dedicated"`
		Spot      *float64 `json:"spot"`
		Date      string   `json:"date"`
		Total     *float64 `json:"total,omitempty"`
	}{region, size, known(dedicated), known(spot), date.Format(time.DateOnly), total})
}
