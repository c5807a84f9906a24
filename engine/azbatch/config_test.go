package azbatch

import (
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
)

func TestURL(t *testing.T) {
	u, err := url.Parse("azbatch://a.r.batch.azure.com/?pool=p&time=2h&retries=0&lifetime=24h&poll=5s&start=10m&vmsize=Standard_E4-2s_v5&maxspot=3")
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(u)
	want := Config{Endpoint: "https://a.r.batch.azure.com", Poll: 5 * time.Second, Start: 10 * time.Minute, Lifetime: 24 * time.Hour, Retries: -1,
		Make: PoolSpec{VMSize: "Standard_E4-2s_v5", MaxSpot: 3}, Placement: Placement{Pool: "p", Time: 2 * time.Hour}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	for raw, want := range map[string]string{
		"azbatch:":                            "want azbatch://account",
		"azbatch://a.b/path?pool=p":           "want azbatch://account",
		"azbatch://a.b":                       "no pool",
		"azbatch://a.b?pool=p&queue=x":        "there are pool, time, ",
		"azbatch://a.b?pool=a/b":              "letters, digits",
		"azbatch://a.b?pool=p,p":              "named twice",
		"azbatch://a.b?pool=p&place=c.d":      "place=c.d: want ACCOUNT.REGION.batch.azure.com/POOL",
		"azbatch://a.b?pool=p&place=a.b/p":    "named twice",
		"azbatch://a.b?pool=p&time=-1s":       "more than 0",
		"azbatch://a.b?pool=p&http=true":      "emulator on this machine",
		"azbatch://a.b?pool=p&nodes=2":        "no VM size",
		"azbatch://a.b?pool=p&startscript=/x": "startscript",
	} {
		if _, err := engine.Open(t.Context(), raw, engine.Config{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}

func TestPlaceSettings(t *testing.T) {
	for raw, want := range map[string][]string{
		"azbatch://a.b?pool=p,q&place=c.d/p&place=a.b/r":            {"a.b/p", "a.b/q", "c.d/p", "a.b/r"},
		"azbatch://127.0.0.1:1?http=1&pool=p&place=127.0.0.1:2/p":   {"127.0.0.1:1/p", "127.0.0.1:2/p"},
		"azbatch://a.b?pool=p&place=c.d/p&place=e.f/p&place=c.d/q2": {"a.b/p", "c.d/p", "e.f/p", "c.d/q2"},
	} {
		e, err := engine.Open(t.Context(), raw, engine.Config{})
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		var got []string
		for _, p := range e.(*Engine).places(e.(*Engine).c.Placement) {
			got = append(got, p.key())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
		e.Close()
	}
}

// The order of runs says how often a place comes, and is the same when it is read again.
func TestSplit(t *testing.T) {
	a, b := &account{host: "a.b"}, &account{host: "c.d"}
	e := &Engine{account: a, accounts: []*account{a, b}, given: map[*account]int{}}
	places := []place{{account: a, pool: "p"}, {account: b, pool: "p"}, {account: a, pool: "q"}}
	identify(batchID("", "job"), places)
	for _, test := range []struct {
		n, slots int
		pools    []*pool
		want     [3]int // of the first n, or of 100
	}{
		{8, 1, []*pool{{capacity: 4}, {capacity: 4}, {capacity: 4}}, [3]int{3, 3, 2}},
		{8, 1, []*pool{{capacity: 4, busy: 4}, {capacity: 4}, {capacity: 4}}, [3]int{0, 4, 4}},
		{8, 2, []*pool{{capacity: 4}, {capacity: 12}, {capacity: 4, busy: 4}}, [3]int{2, 6, 0}},
		{10_000, 1, []*pool{{capacity: 1000}, {capacity: 1000}, {capacity: 2000}}, [3]int{25, 25, 50}},
		{1000, 1, []*pool{{capacity: 1000}, {capacity: 1000, busy: 1000}, {capacity: 1, busy: 1000}}, [3]int{100, 0, 0}},
	} {
		s := split{places: places, order: e.deal(places, test.pools, []int{test.slots, test.slots, test.slots}, test.n)}
		meta := map[string]string{}
		s.write(meta)
		read, err := e.splitOf(a, "job", &azbatch.Job{Metadata: metadata(meta)})
		if err != nil || !reflect.DeepEqual(read, s) {
			t.Fatalf("read again: %v, %v; want %v", read, err, s)
		}
		var got [3]int
		for task := range min(test.n, orderLength) {
			got[read.where(engine.Run{Task: task, Attempt: 1}, func(int) *jobEnd { return nil })]++
		}
		if got != test.want {
			t.Errorf("%d runs to %+v: %v, want %v", test.n, test.pools, got, test.want)
		}
	}
	if ids := []string{places[0].id, places[1].id, places[2].id}; ids[0] != batchID("", "job") || ids[1] != ids[0] || ids[2] != ids[0]+"-1" || !validPool(ids[2]) {
		t.Errorf("IDs of Batch jobs: %q", ids)
	}
	s := split{places: places, order: []int{0, 1, 2}}
	ends := []*jobEnd{{heirs: []int{1, 2}}, {heirs: []int{2}}, nil}
	for task := range 3 {
		if i := s.where(engine.Run{Task: task, Attempt: 1}, func(i int) *jobEnd { return ends[i] }); i != 2 {
			t.Errorf("run %d is made at %d, want 2, to which all was handed over", task, i)
		}
	}
	ends[2] = &jobEnd{heirs: []int{0}} // two clients decided at once
	if i := s.where(engine.Run{Task: 0, Attempt: 1}, func(i int) *jobEnd { return ends[i] }); i != -1 {
		t.Errorf("a run is made at %d, where all have given up", i)
	}
}

func TestSizes(t *testing.T) {
	for size, want := range map[string]struct{ gib, gpus int }{
		"Standard_D4s_v5": {16, 0}, "Standard_D4ls_v5": {8, 0}, "Standard_E4-2s_v5": {32, 0}, "Standard_F8s_v2": {16, 0}, "Standard_F8as_v6": {0, 0},
		"Standard_D11_v2": {0, 0}, "Standard_DS3_v2": {0, 0}, "Standard_E48s_v5": {384, 0}, "Standard_E64s_v3": {0, 0}, "Standard_E32ps_v5": {0, 0}, "standard_e32pds_V6": {0, 0},
		"Standard_L8s_v3": {64, 0}, "Standard_HB120rs_v3": {0, 0}, "Standard_A4": {0, 0}, "": {0, 0},
		"Standard_NC48ads_A100_v4": {0, 2}, "Standard_NC80adis_H100_v5": {0, 2}, "Standard_NC4as_T4_v3": {0, 1}, "Standard_NC64as_T4_v3": {0, 4}, "Standard_NC12s_v3": {0, 2},
		"Standard_ND96asr_v4": {0, 8}, "Standard_ND96isr_H100_v5": {0, 8}, "Standard_NV6ads_A10_v5": {0, 0},
	} {
		if m, g := int(memoryOf(size)>>30), gpusOf(size); m != want.gib || g != want.gpus {
			t.Errorf("%s has %d GiB and %d GPUs, want %d and %d", size, m, g, want.gib, want.gpus)
		}
	}
	m := machine{size: "s", slots: 8, memory: 33 << 30, gpus: 2}
	for _, test := range []struct {
		r    engine.Resources
		want int // 0: refused
	}{
		{engine.Resources{}, 1}, {engine.Resources{Cores: 3}, 3}, {engine.Resources{Cores: 9}, 0},
		{engine.Resources{Memory: 4 << 30}, 1}, {engine.Resources{Memory: 4<<30 + 1}, 2}, {engine.Resources{Cores: 5, Memory: 8 << 30}, 5}, {engine.Resources{Memory: 33 << 30}, 0},
		{engine.Resources{GPUs: 1}, 4}, {engine.Resources{GPUs: 2, Memory: 1 << 30}, 8}, {engine.Resources{GPUs: 3}, 0},
	} {
		if got, err := m.slotsFor(test.r, "p"); got != test.want || (err != nil) != (test.want == 0) {
			t.Errorf("%+v takes %d slots, %v; want %d", test.r, got, err, test.want)
		}
	}
	for s, want := range map[string]int64{"64G": 64 << 30, "512M": 512 << 20, "7": 7, "": 0, "G": 0, "1GG": 0, "-1G": 0, "9999999999T": 0} {
		if got, err := parseMemory(s); got != want || (err != nil) != (want == 0) {
			t.Errorf("%q is %d bytes, %v; want %d", s, got, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"job", "Job", "job.", "job_", strings.Repeat("x", 128), strings.Repeat("x", 127) + "y"} {
		b := strings.ToLower(batchID("azblob://a/b", id))
		if !validPool(b) || seen[b] != "" {
			t.Errorf("%q is %q, as is %q", id, b, seen[b])
		}
		seen[b] = id
	}
	for size, want := range map[string]int{"Standard_D4s_v5": 4, "standard_e4-2s_v5": 2, "Standard_HB120rs_v3": 120, "Standard_NC24ads_A100_v4": 24, "A1": 0, "Standard_D11_v2": 0, "Standard_DS13-2_v2": 0, "Standard_D4": 0, "Standard_A4_v2": 4} {
		if got := coresOf(size); got != want {
			t.Errorf("%s has %d cores, want %d", size, got, want)
		}
	}
}
