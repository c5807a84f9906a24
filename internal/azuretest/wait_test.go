//go:build linux

package azuretest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/progress"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// statuses are those that an observer saw.
type statuses struct {
	mu  sync.Mutex
	all []clusterless.JobStatus
}

func (s *statuses) observe(st clusterless.JobStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, st)
}

func (s *statuses) last() clusterless.JobStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return clusterless.JobStatus{}
	}
	return s.all[len(s.all)-1]
}

// silent is the address of something that lets everybody connect, and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// Who submits a job learns soon which service does not answer; and need not wait for it, or has the job made when it answers.
func TestServiceDoesNotAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{})
	w.pool(t, "p", 1, 0, 2)
	batch, storage := must(url.Parse(w.batch.URL()))(t).Host, must(url.Parse(w.storage.Endpoint))(t).Host
	for _, test := range []struct {
		name, want string
		batch      func(t *testing.T) (address string, mend func())
		storage    func(t *testing.T) string
	}{
		{"Batch refuses", "Azure Batch at HOST: connection refused", func(t *testing.T) (string, func()) {
			proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "batch", "127.0.0.1:0", batch)
			if err := proxy.Start(); err != nil {
				t.Fatal(err)
			}
			proxy.Stop()
			t.Cleanup(proxy.Stop)
			return proxy.Listen, func() {
				if err := proxy.Start(); err != nil {
					t.Fatal(err)
				}
			}
		}, nil},
		{"Batch is silent", "Azure Batch at HOST: no answer", func(t *testing.T) (string, func()) { return silent(t), nil }, nil},
		{"storage is silent", "Azure Storage at HOST: no answer", nil, silent},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config, store, host, mend := w.config(), w.store, "", func() {}
			if test.batch != nil {
				host, mend = test.batch(t)
				config.Endpoint = "http://" + host
			} else {
				host = test.storage(t)
				store = must(blobstore.Open(strings.Replace(w.store.URL(), storage, host, 1), blobstore.WithKey(w.storage.Key)))(t)
			}
			want := strings.Replace(test.want, "HOST", host, 1)
			var log, shown safeBuffer
			var seen statuses
			display := progress.New(&shown, progress.Lines)
			defer display.Close()
			s := w.session(t, store, config, log.logger(), display.Option(), clusterless.Observe(seen.observe))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			type answer struct {
				job *clusterless.Job[int]
				err error
			}
			made := make(chan answer, 1)
			go func() {
				job, err := square.On(s, clusterless.Span(1)).Map(ctx, w.steps(2, nil))
				made <- answer{job, err}
			}()
			line := "waiting for " + want + "; trying again"
			until(t, "the log says it", func() bool { return strings.Contains(log.String(), line) })
			until(t, "the display says it", func() bool { return strings.Contains(shown.String(), "azuretest.square: 0 of 2, "+line) })
			if n := strings.Count(log.String(), "waiting for"); n != 1 {
				t.Errorf("said %d times:\n%s", n, log.String())
			}
			if test.batch == nil || test.name == "Batch is silent" {
				cancel()
				a := <-made
				if !errors.Is(a.err, context.Canceled) || !strings.Contains(a.err.Error(), "while waiting for "+want) {
					t.Errorf("given up: %v", a.err)
				}
				if st := seen.last(); !st.Over || st.Err == nil {
					t.Errorf("observers saw last %+v", st)
				}
				return
			}
			mend()
			a := <-made
			if a.err != nil {
				t.Fatal(a.err)
			}
			got, err := a.job.Results(t.Context())
			allRight(t, got, err, 2)
			until(t, "it is over", func() bool { return seen.last().Over })
			if st := seen.last(); st.Err != nil || st.Queue != "" || st.Done != 2 {
				t.Errorf("observers saw last %+v", st)
			}
		})
	}
}
