package azbatch

import (
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

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

func TestNames(t *testing.T) {
	seen := map[string]string{}
	for _, id := range []string{"job", "Job", "job.", "job_", strings.Repeat("x", 128), strings.Repeat("x", 127) + "y"} {
		b := strings.ToLower(batchID(id))
		if !validPool(b) || seen[b] != "" {
			t.Errorf("%q is %q, as is %q", id, b, seen[b])
		}
		seen[b] = id
	}
	for size, want := range map[string]int{"Standard_D4s_v5": 4, "standard_e4-2s_v5": 2, "Standard_HB120rs_v3": 120, "Standard_NC24ads_A100_v4": 24, "A1": 0} {
		if got := coresOf(size); got != want {
			t.Errorf("%s has %d cores, want %d", size, got, want)
		}
	}
}
