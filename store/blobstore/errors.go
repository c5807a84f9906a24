package blobstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"gocloud.dev/gcerrors"

	"github.com/clusterless-go/clusterless/store"
)

// ErrNoContainer is wrapped by the errors of a store whose container is not there, or is being deleted. It is not
// fs.ErrNotExist: it is not the key that is missing.
var ErrNoContainer = errors.New("the container is not there")

// wrap makes the error of a method from one of our own.
func (s *Store) wrap(op, key string, err error) error {
	return &store.Error{Store: s.url, Op: op, Key: key, Err: err}
}

// fail makes the error of a method from one of gocloud.dev or the SDK. Of those the text is not used: it takes many lines, and
// may have the URL of a request, with a token in it.
func (s *Store) fail(ctx context.Context, op, key string, err error) error {
	e := &store.Error{Store: s.url, Op: op, Key: key}
	var resp *azcore.ResponseError
	switch {
	case ctx.Err() != nil:
		e.Err = ctx.Err()
	case errors.As(err, &resp):
		e.Advice, e.Err = s.refused(resp)
	case s.azure == nil && otherCloud(err) != nil:
		e.Err = otherCloud(err)
	default:
		e.Advice, e.Err = s.unanswered(err)
	}
	return e
}

// refused is for an answer of the service that is an error.
func (s *Store) refused(resp *azcore.ResponseError) (advice string, err error) {
	said := answer{resp}
	switch code := bloberror.Code(resp.ErrorCode); {
	case isTaken(resp):
		return "", fs.ErrExist
	case code == bloberror.ContainerBeingDeleted:
		return "somebody has deleted it; Azure makes none of this name before it is gone, which takes half a minute or longer: try again then", fmt.Errorf("%w: %w", ErrNoContainer, said)
	case code == bloberror.ContainerNotFound:
		return "it was never made, or somebody deleted it, and what was in it with it", fmt.Errorf("%w: %w", ErrNoContainer, said)
	}
	switch status := resp.StatusCode; {
	case status == http.StatusNotFound:
		return "", fs.ErrNotExist
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		advice = s.azure.permission(resp)
		if bloberror.HasCode(resp, bloberror.AuthorizationFailure) { // who lacks a role gets AuthorizationPermissionMismatch
			advice += "; or the account lets in certain networks only, of which this machine is in none (in the portal: Networking)"
		}
		return advice, fmt.Errorf("%w: %w", fs.ErrPermission, said)
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests,
		status >= 500 && status != http.StatusNotImplemented:
		return "", store.Transient(said)
	}
	return "", said
}

// isTaken says whether an answer means that the blob is there.
func isTaken(resp *azcore.ResponseError) bool {
	return bloberror.HasCode(resp, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet)
}

// answer is an error of the service in one line.
type answer struct{ *azcore.ResponseError }

func (a answer) Error() string {
	code := a.ErrorCode
	if code == "" {
		code = http.StatusText(a.StatusCode)
	}
	text := fmt.Sprintf("the service answers %d %s", a.StatusCode, code)
	if a.RawResponse != nil {
		if id := a.RawResponse.Header.Get("x-ms-request-id"); id != "" {
			text += ", request " + id
		}
	}
	return text
}

func (a answer) Unwrap() error { return a.ResponseError }

// otherCloud is what gocloud.dev makes of an error of another cloud, or nil.
func otherCloud(err error) error {
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return fs.ErrNotExist
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		return fs.ErrExist
	case gcerrors.PermissionDenied:
		return fmt.Errorf("%w: %w", fs.ErrPermission, err)
	case gcerrors.InvalidArgument, gcerrors.Unimplemented:
		return err
	}
	return nil
}

// unanswered is for a request without a whole answer. What is not known to be for good may go away.
func (s *Store) unanswered(err error) (advice string, _ error) {
	for {
		if u, ok := err.(interface{ Unwrap() []error }); ok && gcerrors.Code(err) != gcerrors.OK && u.Unwrap()[0] != nil {
			err = u.Unwrap()[0] // gocloud.dev has wrapped it
			continue
		}
		var request *url.Error // its text has the URL
		if !errors.As(err, &request) {
			break
		}
		err = request.Err
	}
	var forGood interface{ NonRetriable() } // as the SDK marks, above all, that there are no credentials
	var certificate *tls.CertificateVerificationError
	var dns *net.DNSError
	switch {
	case errors.As(err, &forGood):
		return s.azure.noCredential(), fmt.Errorf("%w: %s", fs.ErrPermission, oneLine(err))
	case errors.As(err, &certificate):
		return "", err
	case errors.As(err, &dns) && dns.IsNotFound:
		return "is the name of the account right?", err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		// The caller's context goes on. A time-out of the network claims to be the end of a context, and is not.
		return "", store.Transient(errors.New(oneLine(err)))
	}
	return "", store.Transient(err)
}

// permanent is an error that the SDK could have returned.
type permanent string

func (p permanent) Error() string { return string(p) }

// NonRetriable marks it as the SDK does.
func (permanent) NonRetriable() {}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// beyondEnd says whether a range may have begun at the end of its blob, or after it.
func (s *Store) beyondEnd(err error) bool {
	var resp *azcore.ResponseError
	if errors.As(err, &resp) {
		return resp.StatusCode == http.StatusRequestedRangeNotSatisfiable
	}
	code := gcerrors.Code(err)
	return s.azure == nil && (code == gcerrors.InvalidArgument || code == gcerrors.Unknown)
}
