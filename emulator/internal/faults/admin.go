package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
)

// Admin serves the rules to callers on this machine: GET lists them; POST adds one; PUT with {"seed": 1, "rules": [...]}
// begins anew, with those rules; DELETE removes the rule of ?id=, or all.
func (i *Injector) Admin() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, answer := i.admin(w, r)
		if err, ok := answer.(error); ok {
			answer = map[string]string{"error": err.Error()}
		}
		if answer == nil {
			w.WriteHeader(status)
			return
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		if err := e.Encode(answer); err != nil {
			panic(fmt.Sprintf("faults: encode %T: %v", answer, err))
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write(b.Bytes()) // an error is the client's absence
	})
}

func (i *Injector) admin(w http.ResponseWriter, r *http.Request) (status int, answer any) {
	if from, err := netip.ParseAddrPort(r.RemoteAddr); err != nil || !from.Addr().Unmap().IsLoopback() {
		return http.StatusForbidden, fmt.Errorf("faults: only callers on this machine may ask for them")
	}
	decode := func(v any) error {
		if t := r.Header.Get("Content-Type"); t != "application/json" {
			return fmt.Errorf("faults: the Content-Type is application/json, not %q", t) // which no web page can send from a browser unasked
		}
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
		d.DisallowUnknownFields()
		if err := d.Decode(v); err != nil {
			return fmt.Errorf("faults: read the rule: %w", err)
		}
		return nil
	}
	switch r.Method {
	case http.MethodGet:
		return http.StatusOK, i.Rules()
	case http.MethodPost:
		var rule Rule
		err := decode(&rule)
		if err == nil {
			rule, err = i.Add(rule)
		}
		if err != nil {
			return http.StatusBadRequest, err
		}
		return http.StatusCreated, rule
	case http.MethodPut:
		var all struct {
			Seed  uint64
			Rules []Rule
		}
		if err := decode(&all); err != nil {
			return http.StatusBadRequest, err
		}
		if err := i.Replace(all.Seed, all.Rules...); err != nil {
			return http.StatusBadRequest, err
		}
		return http.StatusOK, i.Rules()
	case http.MethodDelete:
		id := r.URL.Query().Get("id")
		if id == "" {
			i.removeAll()
		} else if !i.Remove(id) {
			return http.StatusNotFound, fmt.Errorf("faults: there is no rule %q", id)
		}
		return http.StatusNoContent, nil
	}
	w.Header().Set("Allow", "GET, POST, PUT, DELETE")
	return http.StatusMethodNotAllowed, fmt.Errorf("faults: %s is not GET, POST, PUT or DELETE", r.Method)
}
