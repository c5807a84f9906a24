// Package wire has what surrounds the content of every request and answer of the Batch API: the headers that the service
// sets, the identity of requests, the form of JSON answers and of errors. The forms are those of recorded answers of the
// service, which Microsoft's clients have among their tests.
package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

const requestID = "request-id"

// Handler gives each request an ID and each answer the headers that all answers of the service have, but for
// Strict-Transport-Security: a browser would take it for all of localhost. When next panics the
// client gets an InternalError and log the reason, unless it panics with http.ErrAbortHandler.
func Handler(next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set(requestID, uuid.NewString())
		h.Set("DataServiceVersion", "3.0")
		h.Set("Server", "clusterless-emulator")
		h.Set("X-Content-Type-Options", "nosniff")
		if id := r.Header.Get("client-request-id"); id != "" && strings.EqualFold(r.Header.Get("return-client-request-id"), "true") {
			h.Set("client-request-id", id)
		}
		begun := &writer{ResponseWriter: w}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			log.Error("a request made the emulator panic", "method", r.Method, "path", r.URL.Path, "request", RequestID(w),
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			if begun.yes { // with half an answer gone there is nothing to be said but that it is not whole
				panic(http.ErrAbortHandler)
			}
			Error(w, r, apierror.New(apierror.InternalError))
		}()
		next.ServeHTTP(begun, r)
	})
}

// A writer notes whether an answer has begun.
type writer struct {
	http.ResponseWriter
	yes bool
}

func (w *writer) WriteHeader(status int) {
	w.yes = true
	w.ResponseWriter.WriteHeader(status)
}

func (w *writer) Write(b []byte) (int, error) {
	w.yes = true
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// RequestID is the ID that Handler gave to the request that w answers.
func RequestID(w http.ResponseWriter) string { return w.Header().Get(requestID) }

// Origin is scheme and authority of the URL that the client called, as "http://127.0.0.1:1234". The URLs in answers begin
// with it, so that they lead back on the way that the client came.
func Origin(r *http.Request) string {
	if r.TLS != nil {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// Metadata is the value of odata.metadata for what is returned, as "jobs" for a list of jobs and "jobs/@Element" for one.
func Metadata(r *http.Request, what string) string { return Origin(r) + "/$metadata#" + what }

// JSON answers with v.
func JSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the service does not
	if err := enc.Encode(v); err != nil {
		panic(fmt.Sprintf("wire: encode %T: %v", v, err))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json;odata=minimalmetadata")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes()) // an error is the client's absence
	}
}

// Error answers with the apierror.Error in err's chain. An answer to HEAD has no body, nor has one of status 304.
func Error(w http.ResponseWriter, r *http.Request, err error) {
	e := apierror.Of(err)
	h := w.Header()
	for k, v := range e.Header {
		h[k] = v
	}
	for _, k := range []string{"ETag", "Last-Modified", "DataServiceId", "Location"} { // of a success that did not come about
		h.Del(k)
	}
	if r.Method == http.MethodHead || e.Status == http.StatusNotModified {
		w.WriteHeader(e.Status)
		return
	}
	body := e.Body(RequestID(w), time.Now())
	body.Metadata = Metadata(r, "Microsoft.Azure.Batch.Protocol.Entities.Container.errors/@Element")
	JSON(w, r, e.Status, body)
}
