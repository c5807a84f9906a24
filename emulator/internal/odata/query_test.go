package odata

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// job is an entity with what entities have: names inside of names, lists, a type that writes itself.
type job struct {
	ID       string     `json:"id"`
	Modified *time.Time `json:"lastModified,omitempty"`
	Info     *info      `json:"executionInfo,omitempty"`
	Metadata []pair     `json:"metadata,omitempty"`
	Hidden   string     `json:"-"`
	extra
}

type info struct {
	PoolID string `json:"poolId"`
	Error  *info  `json:"error,omitempty"` // a cycle of types
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type extra struct {
	Priority int `json:"priority"`
}

func TestSelect(t *testing.T) {
	noon := time.Date(2024, 5, 6, 12, 0, 0, 0, time.UTC)
	j := job{ID: "j", Modified: &noon, Info: &info{PoolID: "p", Error: &info{PoolID: "q"}}, Metadata: []pair{{"a", "1"}, {"b", "2"}}}
	names := NamesOf[job]()
	for _, test := range []struct{ sel, want string }{
		{"id", `{"id":"j"}`},
		{" id , priority", `{"id":"j","priority":0}`},
		{"executionInfo/poolId", `{"executionInfo":{"poolId":"p"}}`},
		{"executionInfo/error/poolId", `{"executionInfo":{"error":{"poolId":"q"}}}`},
		{"executionInfo/error/poolId,executionInfo/poolId", `{"executionInfo":{"error":{"poolId":"q"},"poolId":"p"}}`},
		{"executionInfo/poolId,executionInfo", `{"executionInfo":{"poolId":"p","error":{"poolId":"q"}}}`},
		{"executionInfo,executionInfo/poolId", `{"executionInfo":{"poolId":"p","error":{"poolId":"q"}}}`},
		{"metadata/value", `{"metadata":[{"value":"1"},{"value":"2"}]}`},
		{"lastModified", `{"lastModified":"2024-05-06T12:00:00Z"}`},
	} {
		q, err := Parse(url.Values{"$select": {test.sel}}, Options{Select: names})
		if err != nil {
			t.Errorf("%s: %v", test.sel, err)
			continue
		}
		got, err := q.Select.Apply(j)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: got %s (%v), want %s", test.sel, got, err, test.want)
		}
	}
	whole, _ := json.Marshal(j)
	for _, sel := range []string{"", "*", "id,*"} {
		q, err := Parse(url.Values{"$select": {sel}}, Options{Select: names})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := q.Select.Apply(j); err != nil || string(got) != string(whole) {
			t.Errorf("%q: got %s (%v), want all", sel, got, err)
		}
	}
	for _, sel := range []string{"Id", "nothing", "id,", "Hidden", "-", "id/x", "lastModified/wall", "executionInfo/nothing", "executionInfo/", "/"} {
		if _, err := Parse(url.Values{"$select": {sel}}, Options{Select: names}); !errors.Is(err, apierror.New(apierror.InvalidQueryParameterValue)) {
			t.Errorf("$select=%s: got %v, want InvalidQueryParameterValue", sel, err)
		}
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct{ query, code string }{
		{"maxresults=1", ""},
		{"maxresults=10", ""},
		{"maxresults=11", "OutOfRangeQueryParameterValue"},
		{"maxresults=0", "OutOfRangeQueryParameterValue"},
		{"maxresults=-1", "OutOfRangeQueryParameterValue"},
		{"maxresults=x", "InvalidQueryParameterValue"},
		{"maxresults=99999999999", "InvalidQueryParameterValue"},
		{"$expand=stats", ""},
		{"$expand=stats,stats", ""},
		{"$expand=jobs", "InvalidQueryParameterValue"},
		{"$skiptoken=Zm9v", ""},
		{"$skiptoken=!", "InvalidQueryParameterValue"},
	} {
		v, err := url.ParseQuery(test.query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse(v, Options{Max: 10, Expand: []string{"stats"}})
		if test.code == "" && err != nil || test.code != "" && !errors.Is(err, apierror.New(test.code)) {
			t.Errorf("%s: got %v, want %q", test.query, err, test.code)
		}
	}
	q, err := Parse(url.Values{"$expand": {"stats"}}, Options{Expand: []string{"stats"}})
	if err != nil || q.MaxResults != 1000 || !q.Expands("stats") || q.Expands("jobs") || q.After != "" {
		t.Errorf("got %+v, %v", q, err)
	}
}

func sorted(m map[string]int) iter.Seq2[string, int] {
	return func(yield func(string, int) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

func TestPage(t *testing.T) {
	items := map[string]int{"a": 1, "b": 2, "c": 3, "d": 4}
	even := func(n int) bool { return n%2 == 0 }
	all := func(int) bool { return true }
	for _, test := range []struct {
		max   int
		after string
		match func(int) bool
		want  string
	}{
		{2, "", all, "[1 2] b"},
		{2, "b", all, "[3 4] "}, // nothing follows: no link to an empty page
		{3, "", all, "[1 2 3] c"},
		{4, "", all, "[1 2 3 4] "},
		{1, "", even, "[2] b"},
		{2, "", even, "[2 4] "},
		{9, "d", all, "[] "},
		{9, "bb", all, "[3 4] "},
	} {
		page, after := Page(Query{MaxResults: test.max, After: test.after}, sorted(items), test.match)
		if got := fmt.Sprintf("%v %s", page, after); got != test.want {
			t.Errorf("%d after %q: got %q, want %q", test.max, test.after, got, test.want)
		}
	}
}

// TestPagesWhileItemsComeAndGo follows the links of a collection that changes between pages: what was there all the time is
// seen once.
func TestPagesWhileItemsComeAndGo(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		items := map[string]int{}
		for i := range rnd.IntN(50) {
			items[fmt.Sprintf("item %d/ü?&%d", rnd.IntN(1000), i)] = i
		}
		stayed := maps.Clone(items)
		seen := map[string]int{}
		link := fmt.Sprintf("/jobs?maxresults=%d&api-version=2024-07-01.20.0", 1+rnd.IntN(7))
		for link != "" {
			r := httptest.NewRequest("GET", link, nil)
			q, err := Parse(r.URL.Query(), Options{})
			if err != nil {
				t.Fatal(err)
			}
			keyed := func(yield func(string, string) bool) {
				for k := range sorted(items) {
					if !yield(k, k) {
						return
					}
				}
			}
			page, after := Page(q, keyed, func(string) bool { return true })
			for _, k := range page {
				seen[k]++
			}
			if link = ""; after != "" {
				link = NextLink(r, after)
			}
			for range rnd.IntN(4) {
				k := fmt.Sprintf("item %d/ü?&%d", rnd.IntN(1000), rnd.IntN(50))
				if rnd.IntN(2) == 0 && len(items) > 0 {
					k = slices.Sorted(maps.Keys(items))[rnd.IntN(len(items))]
					delete(items, k)
					delete(stayed, k)
				} else if _, there := items[k]; !there {
					items[k] = 0
				}
			}
		}
		for k := range stayed {
			if seen[k] != 1 {
				t.Fatalf("%q was there all the time and was seen %d times", k, seen[k])
			}
		}
		for k, n := range seen {
			if n > 1 {
				t.Fatalf("%q was seen %d times", k, n)
			}
		}
	}
}

func TestNextLink(t *testing.T) {
	r := httptest.NewRequest("GET", "http://127.0.0.1:80/pools/a%2Fb/nodes?api-version=2024-07-01.20.0&%24filter=state+eq+%27idle%27&%24skiptoken=b2xk", nil)
	link, err := url.Parse(NextLink(r, "new"))
	if err != nil {
		t.Fatal(err)
	}
	if link.Scheme != "http" || link.Host != "127.0.0.1:80" || link.EscapedPath() != "/pools/a%2Fb/nodes" {
		t.Errorf("got %s", link)
	}
	v := link.Query()
	if v.Get("api-version") != "2024-07-01.20.0" || v.Get("$filter") != "state eq 'idle'" || len(v["$skiptoken"]) != 1 {
		t.Errorf("got %v", v)
	}
	if q, err := Parse(v, Options{}); err != nil || q.After != "new" {
		t.Errorf("the link leads to %q (%v)", q.After, err)
	}
	r.TLS = &tls.ConnectionState{}
	if l := NextLink(r, "new"); !strings.HasPrefix(l, "https://127.0.0.1:80/") {
		t.Errorf("got %s for https", l)
	}
}

func TestETag(t *testing.T) {
	// A pair that the service gave out: https://github.com/Azure/azure-rest-api-specs, example TaskList of Batch.
	modified := time.Date(2016, 11, 21, 22, 43, 31, 473347600, time.UTC)
	if got, want := ETag(modified), "0x8D4125FD1A825A4"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if ETag(modified) == ETag(modified.Add(100)) {
		t.Error("a tick makes no difference")
	}
	h := http.Header{}
	SetETag(h, ETag(modified), modified)
	if h.Get("ETag") != "0x8D4125FD1A825A4" || h.Get("Last-Modified") != "Mon, 21 Nov 2016 22:43:31 GMT" {
		t.Errorf("got %v", h)
	}
}

func TestConditions(t *testing.T) {
	modified := time.Date(2024, 10, 24, 1, 15, 19, 925533900, time.UTC)
	etag := ETag(modified)
	const before, same, later = "Thu, 24 Oct 2024 01:15:18 GMT", "Thu, 24 Oct 2024 01:15:19 GMT", "Thu, 24 Oct 2024 01:15:20 GMT"
	for _, test := range []struct {
		header string
		read   int
		write  int
	}{
		{"", 0, 0},
		{"If-Match: " + etag, 0, 0},
		{`If-Match: "` + etag + `"`, 0, 0},
		{`If-Match: W/"` + etag + `"`, 0, 0},
		{"If-Match: 0x1, " + etag, 0, 0},
		{"If-Match: *", 0, 0},
		{"If-Match: 0x1", 412, 412},
		{"If-None-Match: " + etag, 304, 412},
		{"If-None-Match: *", 304, 412},
		{"If-None-Match: 0x1", 0, 0},
		{"If-Modified-Since: " + before, 0, 0},
		{"If-Modified-Since: " + same, 304, 412},
		{"If-Modified-Since: " + later, 304, 412},
		{"If-Unmodified-Since: " + before, 412, 412},
		{"If-Unmodified-Since: " + same, 0, 0},
		{"If-Unmodified-Since: " + later, 0, 0},
		{"If-Match: " + etag + "\nIf-Unmodified-Since: " + before, 0, 0}, // the tag decides
		{"If-None-Match: 0x1\nIf-Modified-Since: " + later, 0, 0},        // the tag decides
		{"If-Match: *\nIf-None-Match: 0x1", 400, 400},                    // MultipleConditionHeadersNotSupported
		{"If-Match: *\nIf-Modified-Since: " + before, 400, 400},          //
		{"If-None-Match: 0x1\nIf-Unmodified-Since: " + before, 400, 400}, //
		{"If-Modified-Since: " + same + "\nIf-Unmodified-Since: " + same, 400, 400},
		{"If-Modified-Since: yesterday", 400, 400},
		{"If-Unmodified-Since: 2024-10-24", 400, 400},
	} {
		h := http.Header{}
		for line := range strings.Lines(test.header) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ": ")
			h.Add(k, v)
		}
		for method, want := range map[string]int{"GET": test.read, "HEAD": test.read, "PUT": test.write, "PATCH": test.write, "DELETE": test.write, "POST": test.write} {
			c, err := ParseConditions(h)
			if err == nil {
				err = c.Check(method, etag, modified)
			}
			got := 0
			if err != nil {
				got = apierror.Of(err).Status
			}
			if got != want {
				t.Errorf("%s with %q: got %d (%v), want %d", method, test.header, got, err, want)
			}
		}
	}
}

// FuzzQuery reads any query, and follows the link to the page after any key.
func FuzzQuery(f *testing.F) {
	f.Add("$select=id,executionInfo/poolId&$expand=stats&maxresults=3&$skiptoken=Zm9v", "task-1")
	f.Add("$select=%2F&maxresults=-0", "\xff\x00'")
	names := NamesOf[job]()
	f.Fuzz(func(t *testing.T, query, key string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		q, err := Parse(v, Options{Select: names, Expand: []string{"stats"}})
		if err != nil {
			if status := apierror.Of(err).Status; status != 400 {
				t.Errorf("%q: %v", query, err)
			}
			return
		}
		if b, err := q.Select.Apply(job{ID: "x", Info: &info{}, Metadata: []pair{{}}}); err != nil || !json.Valid(b) {
			t.Errorf("%q: %s (%v)", query, b, err)
		}
		if key == "" {
			return
		}
		link, err := url.Parse(NextLink(&http.Request{Host: "h", URL: &url.URL{Path: "/jobs", RawQuery: query}}, key))
		if err != nil {
			t.Fatal(err)
		}
		next, err := Parse(link.Query(), Options{Select: names, Expand: []string{"stats"}})
		if err != nil || next.After != key || next.MaxResults != q.MaxResults || next.Filter != q.Filter {
			t.Errorf("the page after %q of %q is %+v (%v)", key, query, next, err)
		}
	})
}

// FuzzConditions reads any headers; when it takes them, an entity meets them or not.
func FuzzConditions(f *testing.F) {
	f.Add("0x8D4125FD1A825A4", `W/"1", "2"`, "Thu, 24 Oct 2024 01:15:18 GMT", "x")
	f.Fuzz(func(t *testing.T, match, noneMatch, modified, unmodified string) {
		h := http.Header{"If-Match": {match}, "If-None-Match": {noneMatch}, "If-Modified-Since": {modified}, "If-Unmodified-Since": {unmodified}}
		c, err := ParseConditions(h)
		if err == nil {
			err = c.Check("GET", "0x1", time.Unix(0, 0))
		}
		if status := 0; err != nil {
			if status = apierror.Of(err).Status; status != 400 && status != 304 && status != 412 {
				t.Errorf("%q: %v", h, err)
			}
		}
	})
}
