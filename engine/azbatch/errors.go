package azbatch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/clusterless-go/clusterless/engine"
)

// code is the service's code of an error; "" for any other error.
func code(err error) string {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r.ErrorCode
	}
	return ""
}

// status is the HTTP status of an error; 0 for one that is no answer of the service.
func status(err error) int {
	var r *azcore.ResponseError
	if errors.As(err, &r) {
		return r.StatusCode
	}
	return 0
}

// advice is what to do about errors of the service that a person has to mend. (Microsoft: "Batch status and error codes".)
var advice = map[string]string{
	"ActiveJobAndScheduleQuotaReached":      "the account has as many active jobs as it may: delete some (clusterless jobs, clusterless rm), or ask for a larger quota in the portal",
	"PoolQuotaReached":                      "the account has as many pools as it may: delete one, or ask for a larger quota in the portal",
	"AccountCoreQuotaReached":               "the account's quota of dedicated cores is used up: ask for a larger one in the portal, use fewer or smaller nodes, or spot nodes",
	"AccountLowPriorityCoreQuotaReached":    "the account's quota of spot cores is used up: ask for a larger one in the portal, or use fewer or smaller nodes",
	"AccountVMSeriesCoreQuotaReached":       "the account's quota of cores of this series of machines is used up: ask for a larger one in the portal, or use another VM size",
	"AllocationFailed":                      "Azure has no such machines free in this region at the moment: try later, another VM size or another region",
	"AllocationTimedOut":                    "Azure could not provide the machines in time: try later, another VM size or another region",
	"OverconstrainedAllocationRequestError": "Azure has no such machines free in this region at the moment: try later, another VM size or another region",
	"AuthenticationFailed":                  "log in (az login), or set the variables of azidentity.DefaultAzureCredential; a token is for one tenant",
	"PermissionDenied":                      "this identity lacks a role on the Batch account: Azure Batch Data Contributor, or Contributor",
	"AccountIsDisabled":                     "the subscription is disabled",
}

// explain makes one line of an error of the service, with what to do. Its default text is the whole answer.
func explain(err error) error {
	var r *azcore.ResponseError
	if said := (*serviceError)(nil); !errors.As(err, &r) || errors.As(err, &said) {
		return err
	}
	text := r.ErrorCode
	if m := message(r); m != "" {
		text += ": " + m
	}
	if text == "" {
		text = http.StatusText(r.StatusCode)
	}
	if a := advice[r.ErrorCode]; a != "" {
		text += ": " + a
	}
	e := &serviceError{text, err}
	if strings.HasSuffix(r.ErrorCode, "QuotaReached") {
		return fmt.Errorf("%w: %w", e, engine.ErrCannotRun)
	}
	return e
}

type serviceError struct {
	text string
	err  error
}

func (e *serviceError) Error() string { return e.text }
func (e *serviceError) Unwrap() error { return e.err }

// message is what the service says beside the code.
func message(r *azcore.ResponseError) string {
	if r.RawResponse == nil {
		return ""
	}
	b, err := runtime.Payload(r.RawResponse)
	var body struct {
		Message struct{ Value string }
		Values  []struct{ Key, Value string }
	}
	if err != nil || json.Unmarshal(b, &body) != nil {
		return ""
	}
	text, _, _ := strings.Cut(body.Message.Value, "\n") // what follows are the request's ID and time
	for _, v := range body.Values {
		text += fmt.Sprintf(" (%s: %s)", v.Key, v.Value)
	}
	return text
}
