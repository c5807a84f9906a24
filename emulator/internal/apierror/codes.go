package apierror

import "net/http"

// Codes of any Azure service.
const (
	ConditionNotMet                      = "ConditionNotMet"
	MissingRequiredHeader                = "MissingRequiredHeader"
	MissingRequiredProperty              = "MissingRequiredProperty"
	UnsupportedHeader                    = "UnsupportedHeader"
	UnsupportedProperty                  = "UnsupportedProperty"
	InvalidHeaderValue                   = "InvalidHeaderValue"
	InvalidPropertyValue                 = "InvalidPropertyValue"
	MissingRequiredQueryParameter        = "MissingRequiredQueryParameter"
	UnsupportedQueryParameter            = "UnsupportedQueryParameter"
	InvalidQueryParameterValue           = "InvalidQueryParameterValue"
	OutOfRangeQueryParameterValue        = "OutOfRangeQueryParameterValue"
	RequestUrlFailedToParse              = "RequestUrlFailedToParse"
	InvalidUri                           = "InvalidUri"
	InvalidHttpVerb                      = "InvalidHttpVerb"
	EmptyMetadataKey                     = "EmptyMetadataKey"
	InvalidRequestBody                   = "InvalidRequestBody"
	OutOfRangeInput                      = "OutOfRangeInput"
	InvalidAuthenticationInfo            = "InvalidAuthenticationInfo"
	InvalidInput                         = "InvalidInput"
	InvalidMetadata                      = "InvalidMetadata"
	MetadataTooLarge                     = "MetadataTooLarge"
	MultipleConditionHeadersNotSupported = "MultipleConditionHeadersNotSupported"
	AuthenticationFailed                 = "AuthenticationFailed"
	InsufficientAccountPermissions       = "InsufficientAccountPermissions"
	AccountIsDisabled                    = "AccountIsDisabled"
	ResourceNotFound                     = "ResourceNotFound"
	UnsupportedHttpVerb                  = "UnsupportedHttpVerb"
	MissingContentLengthHeader           = "MissingContentLengthHeader"
	RequestBodyTooLarge                  = "RequestBodyTooLarge"
	InvalidRange                         = "InvalidRange"
	InternalError                        = "InternalError"
	OperationTimedOut                    = "OperationTimedOut"
	ServerBusy                           = "ServerBusy"
)

// Codes of Batch.
const (
	UnsupportedRequestVersion           = "UnsupportedRequestVersion"
	InvalidAutoScalingSettings          = "InvalidAutoScalingSettings"
	AutoScalingFormulaSyntaxError       = "AutoScalingFormulaSyntaxError"
	AutoScalingFormulaTooLong           = "AutoScalingFormulaTooLong"
	TaskDependenciesNotSpecifiedOnJob   = "TaskDependenciesNotSpecifiedOnJob"
	TaskDependencyListTooLong           = "TaskDependencyListTooLong"
	TaskDependencyRangesTooLong         = "TaskDependencyRangesTooLong"
	PoolNotFound                        = "PoolNotFound"
	NodeNotFound                        = "NodeNotFound"
	JobScheduleNotFound                 = "JobScheduleNotFound"
	JobNotFound                         = "JobNotFound"
	TaskNotFound                        = "TaskNotFound"
	FileNotFound                        = "FileNotFound"
	NodeUserNotFound                    = "NodeUserNotFound"
	CertificateNotFound                 = "CertificateNotFound"
	ApplicationNotFound                 = "ApplicationNotFound"
	JobPreparationTaskNotRunOnNode      = "JobPreparationTaskNotRunOnNode"
	JobReleaseTaskNotRunOnNode          = "JobReleaseTaskNotRunOnNode"
	NodeAgentSKUNotFound                = "NodeAgentSKUNotFound"
	OperationInvalidForCurrentState     = "OperationInvalidForCurrentState"
	PoolBeingDeleted                    = "PoolBeingDeleted"
	PoolBeingResized                    = "PoolBeingResized"
	PoolBeingCreated                    = "PoolBeingCreated"
	NodeBeingCreated                    = "NodeBeingCreated"
	NodeBeingStarted                    = "NodeBeingStarted"
	NodeBeingReimaged                   = "NodeBeingReimaged"
	NodeBeingRebooted                   = "NodeBeingRebooted"
	NodeStateUnusable                   = "NodeStateUnusable"
	JobScheduleBeingTerminated          = "JobScheduleBeingTerminated"
	JobScheduleBeingDeleted             = "JobScheduleBeingDeleted"
	CertificateBeingDeleted             = "CertificateBeingDeleted"
	PoolExists                          = "PoolExists"
	JobScheduleExists                   = "JobScheduleExists"
	JobExists                           = "JobExists"
	TaskExists                          = "TaskExists"
	NodeUserExists                      = "NodeUserExists"
	CertificateExists                   = "CertificateExists"
	JobScheduleDisabled                 = "JobScheduleDisabled"
	JobScheduleCompleted                = "JobScheduleCompleted"
	JobBeingTerminated                  = "JobBeingTerminated"
	JobBeingDeleted                     = "JobBeingDeleted"
	JobDisabled                         = "JobDisabled"
	JobCompleted                        = "JobCompleted"
	JobNotActive                        = "JobNotActive"
	TaskCompleted                       = "TaskCompleted"
	TaskNotCompleted                    = "TaskNotCompleted"
	TaskSucceeded                       = "TaskSucceeded"
	TaskFilesUnavailable                = "TaskFilesUnavailable"
	TaskFilesCleanedup                  = "TaskFilesCleanedup"
	ActiveJobAndScheduleQuotaReached    = "ActiveJobAndScheduleQuotaReached"
	PoolQuotaReached                    = "PoolQuotaReached"
	JobPreparationTaskNotSpecified      = "JobPreparationTaskNotSpecified"
	JobReleaseTaskNotSpecified          = "JobReleaseTaskNotSpecified"
	TaskIdSameAsJobPreparationTask      = "TaskIdSameAsJobPreparationTask"
	TaskIdSameAsJobReleaseTask          = "TaskIdSameAsJobReleaseTask"
	JobWithSameIdExists                 = "JobWithSameIdExists"
	JobScheduleWithSameIdExists         = "JobScheduleWithSameIdExists"
	NodeAlreadyInTargetSchedulingState  = "NodeAlreadyInTargetSchedulingState"
	OperationNotValidOnNode             = "OperationNotValidOnNode"
	OperationNotValidOnPool             = "OperationNotValidOnPool"
	InvalidApplicationPackageReferences = "InvalidApplicationPackageReferences"
	IOError                             = "IOError"
	TooManyEnableAutoScaleRequests      = "TooManyEnableAutoScaleRequests"
)

// Codes that do not answer a request but stand in an entity: resizeErrors of a pool, schedulingError of a job, failureInfo of a task.
const (
	AccountCoreQuotaReached                = "AccountCoreQuotaReached"
	AllocationFailed                       = "AllocationFailed"
	AllocationTimedout                     = "AllocationTimedout"
	RemoveNodesFailed                      = "RemoveNodesFailed"
	ResizeStopped                          = "ResizeStopped"
	AutoPoolCreationFailedWithQuotaReached = "AutoPoolCreationFailedWithQuotaReached"
	InvalidAutoScaleFormulaInAutoPool      = "InvalidAutoScaleFormulaInAutoPool"
	BlobAccessDenied                       = "BlobAccessDenied"
	BlobNotFound                           = "BlobNotFound"
	BlobDownloadMiscError                  = "BlobDownloadMiscError"
	BlobDownloadTimedOut                   = "BlobDownloadTimedOut"
	CommandLaunchFailed                    = "CommandLaunchFailed"
	CommandProgramNotFound                 = "CommandProgramNotFound"
	DiskFull                               = "DiskFull"
	ResourceDirectoryCreateFailed          = "ResourceDirectoryCreateFailed"
	ResourceFileCreateFailed               = "ResourceFileCreateFailed"
	ResourceFileWriteFailed                = "ResourceFileWriteFailed"
	TaskEnded                              = "TaskEnded"
	ApplicationPackageError                = "ApplicationPackageError"
	FailureExitCode                        = "FailureExitCode"
)

// A code of ours, for what the table does not have: Azure answers 429 where it throttles, under no documented code.
const (
	TooManyRequests = "TooManyRequests"
)

// row is what is known of a code: the status of the response that carries it, zero when none does, and its text. Where a
// recorded response of the service has another text than its documentation, the recorded one stands here.
type row struct {
	status int
	text   string
}

// table has every code. Source of the codes: "Batch Status and Error Codes" of the REST reference.
var table = map[string]row{
	ConditionNotMet:                        {http.StatusPreconditionFailed, "The condition specified using HTTP conditional header(s) is not met."},
	MissingRequiredHeader:                  {http.StatusBadRequest, "A required HTTP header was not specified."},
	MissingRequiredProperty:                {http.StatusBadRequest, "A required property was not specified in the request body."},
	UnsupportedHeader:                      {http.StatusBadRequest, "One of the HTTP headers specified in the request is not supported."},
	UnsupportedProperty:                    {http.StatusBadRequest, "One of the properties specified in the request body is not supported."},
	InvalidHeaderValue:                     {http.StatusBadRequest, "The value for one of the HTTP headers is not in the correct format."},
	InvalidPropertyValue:                   {http.StatusBadRequest, "The value provided for one of the properties in the request body is invalid."},
	MissingRequiredQueryParameter:          {http.StatusBadRequest, "A query parameter that's mandatory for this request is not specified."},
	UnsupportedQueryParameter:              {http.StatusBadRequest, "One of the query parameters specified in the request URI is not supported."},
	InvalidQueryParameterValue:             {http.StatusBadRequest, "Value for one of the query parameters specified in the request URI is invalid."},
	OutOfRangeQueryParameterValue:          {http.StatusBadRequest, "A query parameter specified in the request URI is outside the permissible range."},
	RequestUrlFailedToParse:                {http.StatusBadRequest, "The url in the request could not be parsed."},
	InvalidUri:                             {http.StatusBadRequest, "The requested URI does not represent any resource on the server."},
	InvalidHttpVerb:                        {http.StatusBadRequest, "The HTTP verb specified was not recognized by the server."},
	EmptyMetadataKey:                       {http.StatusBadRequest, "The key for one of the metadata key-value pairs is empty."},
	InvalidRequestBody:                     {http.StatusBadRequest, "The specified Request Body is not syntactically valid."},
	OutOfRangeInput:                        {http.StatusBadRequest, "One of the request inputs is out of range."},
	InvalidAuthenticationInfo:              {http.StatusBadRequest, "The authentication information was not provided in the correct format. Verify the value of Authorization header."},
	InvalidInput:                           {http.StatusBadRequest, "One of the request inputs is not valid."},
	InvalidMetadata:                        {http.StatusBadRequest, "The specified metadata is invalid. It includes characters that are not permitted."},
	MetadataTooLarge:                       {http.StatusBadRequest, "The size of the specified metadata exceeds the maximum size permitted."},
	MultipleConditionHeadersNotSupported:   {http.StatusBadRequest, "Multiple condition headers are not supported."},
	AuthenticationFailed:                   {http.StatusForbidden, "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly including the signature."},
	InsufficientAccountPermissions:         {http.StatusForbidden, "The account being accessed does not have sufficient permissions to execute this operation."},
	AccountIsDisabled:                      {http.StatusForbidden, "The specified account is disabled."},
	ResourceNotFound:                       {http.StatusNotFound, "The specified resource does not exist."},
	UnsupportedHttpVerb:                    {http.StatusMethodNotAllowed, "The resource doesn't support the specified HTTP verb."},
	MissingContentLengthHeader:             {http.StatusLengthRequired, "The Content-Length header was not specified."},
	RequestBodyTooLarge:                    {http.StatusRequestEntityTooLarge, "The size of the request body exceeds the maximum size permitted."},
	InvalidRange:                           {http.StatusRequestedRangeNotSatisfiable, "The range specified is invalid for the current size of the resource."},
	InternalError:                          {http.StatusInternalServerError, "The server encountered an internal error. Please retry the request."},
	OperationTimedOut:                      {http.StatusInternalServerError, "The operation could not be completed within the permitted time."},
	ServerBusy:                             {http.StatusServiceUnavailable, "The server is currently unable to receive requests. Please retry your request."},
	UnsupportedRequestVersion:              {http.StatusBadRequest, "The specified request version is not supported."},
	InvalidAutoScalingSettings:             {http.StatusBadRequest, "The specified auto-scaling settings are not valid."},
	AutoScalingFormulaSyntaxError:          {http.StatusBadRequest, "The specified auto-scaling formula has a syntax error."},
	AutoScalingFormulaTooLong:              {http.StatusBadRequest, "The specified auto-scaling formula exceeds lengths limit."},
	TaskDependenciesNotSpecifiedOnJob:      {http.StatusBadRequest, "A task was specified as depending on other tasks, but the job did not specify that it would use task dependencies."},
	TaskDependencyListTooLong:              {http.StatusBadRequest, "A task was specified as depending on other tasks, but the list of dependencies was too long to be stored."},
	TaskDependencyRangesTooLong:            {http.StatusBadRequest, "A task was specified as depending on multiple ranges of task ids, and the list of ranges was too long to be stored."},
	PoolNotFound:                           {http.StatusNotFound, "The specified pool does not exist."},
	NodeNotFound:                           {http.StatusNotFound, "The specified node does not exist."},
	JobScheduleNotFound:                    {http.StatusNotFound, "The specified job schedule does not exist."},
	JobNotFound:                            {http.StatusNotFound, "The specified job does not exist."},
	TaskNotFound:                           {http.StatusNotFound, "The specified task does not exist."},
	FileNotFound:                           {http.StatusNotFound, "The specified file does not exist."},
	NodeUserNotFound:                       {http.StatusNotFound, "The specified node user does not exist."},
	CertificateNotFound:                    {http.StatusNotFound, "The specified certificate does not exist."},
	ApplicationNotFound:                    {http.StatusNotFound, "The specified application does not exist."},
	JobPreparationTaskNotRunOnNode:         {http.StatusNotFound, "The job preparation task did not run on the specified node."},
	JobReleaseTaskNotRunOnNode:             {http.StatusNotFound, "The job release task did not run on the specified node."},
	NodeAgentSKUNotFound:                   {http.StatusNotFound, "The specified Node Agent SKU does not exist."},
	OperationInvalidForCurrentState:        {http.StatusConflict, "The specified operation is not valid for the current state of the resource."},
	PoolBeingDeleted:                       {http.StatusConflict, "The specified pool has been marked for deletion and is being reclaimed."},
	PoolBeingResized:                       {http.StatusConflict, "The specified pool is being resized."},
	PoolBeingCreated:                       {http.StatusConflict, "The specified pool is being created."},
	NodeBeingCreated:                       {http.StatusConflict, "The specified node is being created."},
	NodeBeingStarted:                       {http.StatusConflict, "The specified node is being started."},
	NodeBeingReimaged:                      {http.StatusConflict, "The specified node is being reimaged."},
	NodeBeingRebooted:                      {http.StatusConflict, "The specified node is being rebooted."},
	NodeStateUnusable:                      {http.StatusConflict, "The state of the specified node is unusable."},
	JobScheduleBeingTerminated:             {http.StatusConflict, "The specified job schedule is being terminated."},
	JobScheduleBeingDeleted:                {http.StatusConflict, "The specified job schedule has been marked for deletion and is being reclaimed."},
	CertificateBeingDeleted:                {http.StatusConflict, "The specified certificate has been marked for deletion and is being deleted."},
	PoolExists:                             {http.StatusConflict, "The specified pool already exists."},
	JobScheduleExists:                      {http.StatusConflict, "The specified job schedule already exists."},
	JobExists:                              {http.StatusConflict, "The specified job already exists."},
	TaskExists:                             {http.StatusConflict, "The specified task already exists."},
	NodeUserExists:                         {http.StatusConflict, "The specified node user already exists."},
	CertificateExists:                      {http.StatusConflict, "The specified certificate already exists."},
	JobScheduleDisabled:                    {http.StatusConflict, "The specified job schedule is disabled."},
	JobScheduleCompleted:                   {http.StatusConflict, "The specified job schedule is already in completed state."},
	JobBeingTerminated:                     {http.StatusConflict, "The specified job is being terminated."},
	JobBeingDeleted:                        {http.StatusConflict, "The specified job has been marked for deletion and is being garbage collected."},
	JobDisabled:                            {http.StatusConflict, "The specified job is disabled."},
	JobCompleted:                           {http.StatusConflict, "The specified job is already in a completed state."},
	JobNotActive:                           {http.StatusConflict, "The specified job is not in active state."},
	TaskCompleted:                          {http.StatusConflict, "The specified task is already in a completed state."},
	TaskNotCompleted:                       {http.StatusConflict, "The specified task is not in a completed state, and the requested operation can be performed only on completed tasks."},
	TaskSucceeded:                          {http.StatusConflict, "The specified task has already completed successfully, and the requested operation cannot be performed on successful tasks."},
	TaskFilesUnavailable:                   {http.StatusConflict, "The files of the specified task are unavailable."},
	TaskFilesCleanedup:                     {http.StatusConflict, "The files of the specified task are cleaned up."},
	ActiveJobAndScheduleQuotaReached:       {http.StatusConflict, "Active job and schedule quota for the account has been reached."},
	PoolQuotaReached:                       {http.StatusConflict, "Pool quota for the account has been reached."},
	JobPreparationTaskNotSpecified:         {http.StatusConflict, "The specified job does not have job preparation task."},
	JobReleaseTaskNotSpecified:             {http.StatusConflict, "The specified job does not have job release task."},
	TaskIdSameAsJobPreparationTask:         {http.StatusConflict, "The specified task id is same as the job preparation task."},
	TaskIdSameAsJobReleaseTask:             {http.StatusConflict, "The specified task id is same as the job release task."},
	JobWithSameIdExists:                    {http.StatusConflict, "A job with the specified job schedule id exists. Job and job schedule cannot have the same id."},
	JobScheduleWithSameIdExists:            {http.StatusConflict, "A job schedule with the specified job id exists. Job and job schedule cannot have the same id."},
	NodeAlreadyInTargetSchedulingState:     {http.StatusConflict, "The specified node is already in the target scheduling state."},
	OperationNotValidOnNode:                {http.StatusConflict, "The specified operation is not valid on the node."},
	OperationNotValidOnPool:                {http.StatusConflict, "The specified operation is not valid on the pool."},
	InvalidApplicationPackageReferences:    {http.StatusConflict, "One or more application package references could not be satisfied. This occurs if the application id or version does not exist or is not active, or if the reference did not specify a version and there is no default version configured."},
	IOError:                                {http.StatusForbidden, "An I/O error occurred when accessing the specified resource."},
	TooManyEnableAutoScaleRequests:         {http.StatusServiceUnavailable, "Too many Enable Pool AutoScale requests are issued on the pool."},
	AccountCoreQuotaReached:                {0, "The specified account has reached core quota."},
	AllocationFailed:                       {0, "Desired number of dedicated nodes could not be allocated."},
	AllocationTimedout:                     {0, "Desired number of dedicated nodes could not be allocated as the resize timeout was reached."},
	RemoveNodesFailed:                      {0, "One or more nodes could not be removed from the pool."},
	ResizeStopped:                          {0, "Desired number of nodes could not be allocated due to a stop resize operation."},
	AutoPoolCreationFailedWithQuotaReached: {0, "The pool quota for the account is reached."},
	InvalidAutoScaleFormulaInAutoPool:      {0, "The specified auto-scaling settings are not valid."},
	BlobAccessDenied:                       {0, "Access for one of the specified Azure Blob(s) is denied."},
	BlobNotFound:                           {0, "One of the specified Azure Blob(s) is not found."},
	BlobDownloadMiscError:                  {0, "Miscellaneous error encountered while downloading one of the specified Azure Blob(s)."},
	BlobDownloadTimedOut:                   {0, "Timeout encountered while downloading one of the specified Azure Blob(s)."},
	CommandLaunchFailed:                    {0, "Failed to launch the specified command line."},
	CommandProgramNotFound:                 {0, "The specified command program is not found."},
	DiskFull:                               {0, "There is not enough disk space on the node that was selected to run the task."},
	ResourceDirectoryCreateFailed:          {0, "Failure encountered creating resource directory for the task."},
	ResourceFileCreateFailed:               {0, "Failure encountered creating resource file."},
	ResourceFileWriteFailed:                {0, "Failure encountered writing resource file."},
	TaskEnded:                              {0, "Task was ended by user request."},
	ApplicationPackageError:                {0, "One or more application packages could not be deployed."},
	FailureExitCode:                        {0, "The task exited with an exit code representing a failure"},
	TooManyRequests:                        {http.StatusTooManyRequests, "Too many requests were sent to the service. Please retry your request later."},
}
