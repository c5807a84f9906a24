package azbatch

import (
	"errors"
	"fmt"
	"strings"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/azerror"
)

// code is the service's code of an error; "" for any other error.
func code(err error) string { return azerror.Code(err) }

// status is the HTTP status of an error; 0 for one that is no answer of the service.
func status(err error) int { return azerror.Status(err) }

// advice is what to do about errors of the service that a person has to mend. (Microsoft: "Batch status and error codes".)
var advice = map[string]string{
	"ActiveJobAndScheduleQuotaReached":      "the account has as many active jobs as it may: delete some (clusterless jobs, clusterless rm), or ask for a larger quota in the portal",
	"PoolQuotaReached":                      "the account has as many pools as it may: delete one, or ask for a larger quota in the portal",
	"AccountCoreQuotaReached":               "the account's quota of dedicated cores is used up: ask for a larger one in the portal, use fewer or smaller nodes, or spot nodes",
	"AccountLowPriorityCoreQuotaReached":    "the account's quota of spot cores is used up: ask for a larger one in the portal, or use fewer or smaller nodes",
	"AccountVMSeriesCoreQuotaReached":       "the account's quota of cores of this series of machines is used up: ask for a larger one in the portal, or use another VM size",
	"AllocationFailed":                      "Azure has no such machines free in this region at the moment: try later, another VM size or another region",
	"AllocationTimedout":                    "Azure could not provide the machines in time: try later, another VM size or another region",
	"OverconstrainedAllocationRequestError": "Azure has no such machines free in this region at the moment: try later, another VM size or another region",
	"AuthenticationFailed":                  "log in (az login), or set the variables of azidentity.DefaultAzureCredential; a token is for one tenant",
	"PermissionDenied":                      "this identity lacks a role on the Batch account: Azure Batch Data Contributor, or Contributor",
	"AccountIsDisabled":                     "the subscription is disabled",
	"PoolBeingDeleted":                      "wait some minutes until it is gone, or name another pool",
}

// explain makes one line of an error of the service, with what to do.
func explain(err error) error {
	if said := (*azerror.Error)(nil); errors.As(err, &said) {
		return err
	}
	said := azerror.Explain(err, advice)
	if strings.HasSuffix(code(err), "QuotaReached") {
		return fmt.Errorf("%w: %w", said, engine.ErrCannotRun)
	}
	return said
}
