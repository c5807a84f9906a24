package auth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signed are the headers whose values are signed, in this order. Source: "Authenticate Requests to Azure Batch" of the REST
// reference.
var signed = []string{"Content-Encoding", "Content-Language", "Content-Length", "Content-Md5", "Content-Type", "Date",
	"If-Modified-Since", "If-Match", "If-None-Match", "If-Unmodified-Since", "Range"}

// Sign authorises a client's request with the account's key. It sets ocp-date when the request has none. The request must
// be complete: what is changed later is no longer what was signed.
func Sign(r *http.Request, account string, k Key) {
	if r.Header.Get("ocp-date") == "" {
		r.Header.Set("ocp-date", time.Now().UTC().Format(http.TimeFormat))
	}
	h := r.Header.Clone()
	h.Del("Date")
	if r.ContentLength > 0 || slices.Contains([]string{http.MethodPost, http.MethodPut, http.MethodPatch}, r.Method) {
		h.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // as the transport will
	}
	sum := k.mac(stringToSign(r.Method, h, account, r.URL.EscapedPath(), r.URL.Query()))
	r.Header.Set("Authorization", "SharedKey "+account+":"+base64.StdEncoding.EncodeToString(sum))
}

// stringToSign is what the key signs of a request.
func stringToSign(method string, h http.Header, account, path string, query url.Values) string {
	var b strings.Builder
	b.WriteString(method + "\n")
	for _, name := range signed {
		b.WriteString(h.Get(name) + "\n")
	}
	var ocp []string
	for name, values := range h {
		if name = strings.ToLower(name); strings.HasPrefix(name, "ocp-") && values[0] != "" {
			ocp = append(ocp, name+":"+values[0]+"\n")
		}
	}
	slices.Sort(ocp)
	b.WriteString(strings.Join(ocp, "") + "/" + account + path)
	var params []string
	for name, values := range query {
		if values[0] != "" {
			params = append(params, "\n"+name+":"+values[0])
		}
	}
	slices.Sort(params)
	b.WriteString(strings.Join(params, ""))
	return b.String()
}

// stringsToSign are the forms of what the key signs of a request, the documented one first. Microsoft's clients differ in
// three points: whether the path is signed as it is sent, with its %2F unescaped, or all unescaped; whether names of
// parameters are lowered; whether Date is signed when there is an ocp-date.
func stringsToSign(r *http.Request, account string) (forms []string) {
	sent := r.URL.EscapedPath()
	paths := []string{sent, strings.NewReplacer("%2F", "/", "%2f", "/", "%5C", "/", "%5c", "/").Replace(sent), r.URL.Path}
	query := r.URL.Query()
	lowered := url.Values{}
	for name, values := range query {
		lowered[strings.ToLower(name)] = values
	}
	headers := []http.Header{r.Header}
	if r.Header.Get("ocp-date") != "" && r.Header.Get("Date") != "" {
		undated := r.Header.Clone()
		undated.Del("Date")
		headers = []http.Header{undated, r.Header}
	}
	for _, h := range headers {
		for _, path := range paths {
			for _, q := range []url.Values{lowered, query} {
				if s := stringToSign(r.Method, h, account, path, q); !slices.Contains(forms, s) {
					forms = append(forms, s)
				}
			}
		}
	}
	return forms
}
