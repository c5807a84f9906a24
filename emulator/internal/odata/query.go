package odata

import (
	"encoding/base64"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/wire"
)

const skipToken = "$skiptoken"

// Options say what an operation allows in its query.
type Options struct {
	Max    int      // the most items in a page, and how many there are when nothing is said; 0 is 1000
	Expand []string // what $expand may name
	Select *Names   // what $select may name; nil: $select is not looked at
}

// A Query is what a client asks for of a collection or of one entity.
type Query struct {
	Filter     string // for Fields.Filter, which knows the properties
	Select     Select
	Expand     []string
	MaxResults int
	After      string // the key after which the page begins; empty for the first page
}

// Parse reads and checks the parameters of a query.
func Parse(v url.Values, o Options) (Query, error) {
	q := Query{Filter: v.Get("$filter"), MaxResults: o.Max}
	if q.MaxResults == 0 {
		q.MaxResults = 1000
	}
	var err error
	if s := v.Get("$select"); s != "" && o.Select != nil {
		if q.Select, err = parseSelect(s, o.Select); err != nil {
			return Query{}, err
		}
	}
	if s := v.Get("$expand"); s != "" {
		for item := range strings.SplitSeq(s, ",") {
			item = strings.TrimSpace(item)
			if !slices.Contains(o.Expand, item) {
				return Query{}, apierror.Parameter("$expand", s, strconv.Quote(item)+" is no property to expand")
			}
			q.Expand = append(q.Expand, item)
		}
	}
	if s := v.Get("maxresults"); s != "" {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return Query{}, apierror.Parameter("maxresults", s, "it is no 32-bit number")
		}
		if n < 1 || int(n) > q.MaxResults {
			return Query{}, apierror.New(apierror.OutOfRangeQueryParameterValue).With("QueryParameterName", "maxresults").
				With("QueryParameterValue", s).With("MinimumAllowed", "1").With("MaximumAllowed", strconv.Itoa(q.MaxResults))
		}
		q.MaxResults = int(n)
	}
	if s := v.Get(skipToken); s != "" {
		key, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || len(key) == 0 {
			return Query{}, apierror.Parameter(skipToken, s, "it is not from an odata.nextLink")
		}
		q.After = string(key)
	}
	return q, nil
}

// Expands tells whether $expand names the property.
func (q Query) Expands(name string) bool { return slices.Contains(q.Expand, name) }

// Page takes the items of one page: those after q.After that match, up to q.MaxResults. The items come with their keys, in
// ascending order of those; they may begin anywhere at or before the page. When there is more, after is the key that the
// next page's link carries. Because it is a key and no number, items that come and go between pages make no other be left
// out or come twice.
func Page[T any](q Query, items iter.Seq2[string, T], match func(T) bool) (page []T, after string) {
	last := ""
	for key, item := range items {
		if key <= q.After && q.After != "" || !match(item) {
			continue
		}
		if len(page) == q.MaxResults {
			return page, last
		}
		page, last = append(page, item), key
	}
	return page, ""
}

// NextLink is the URL of the page after the one that r asked for: the same query, its api-version included.
func NextLink(r *http.Request, after string) string {
	v := r.URL.Query()
	v.Set(skipToken, base64.RawURLEncoding.EncodeToString([]byte(after)))
	return wire.Origin(r) + r.URL.EscapedPath() + "?" + v.Encode()
}
