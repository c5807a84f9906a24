package model

import (
	"time"
)

// Tasks, and what all kinds of tasks have.

type CloudTask struct {
	ODataMetadata                string                        `json:"odata.metadata,omitempty"`
	ID                           string                        `json:"id,omitempty"`
	DisplayName                  string                        `json:"displayName,omitempty"`
	URL                          string                        `json:"url,omitempty"`
	ETag                         string                        `json:"eTag,omitempty"`
	LastModified                 time.Time                     `json:"lastModified,omitzero"`
	CreationTime                 time.Time                     `json:"creationTime,omitzero"`
	ExitConditions               *ExitConditions               `json:"exitConditions,omitempty"`
	State                        string                        `json:"state,omitempty" batch:"enum=active|preparing|running|completed"`
	StateTransitionTime          time.Time                     `json:"stateTransitionTime,omitzero"`
	PreviousState                string                        `json:"previousState,omitempty" batch:"enum=active|preparing|running|completed"`
	PreviousStateTransitionTime  time.Time                     `json:"previousStateTransitionTime,omitzero"`
	CommandLine                  string                        `json:"commandLine,omitempty"`
	ContainerSettings            *TaskContainerSettings        `json:"containerSettings,omitempty"`
	ResourceFiles                []ResourceFile                `json:"resourceFiles,omitempty"`
	OutputFiles                  []OutputFile                  `json:"outputFiles,omitempty"`
	EnvironmentSettings          []EnvironmentSetting          `json:"environmentSettings,omitempty"`
	AffinityInfo                 *AffinityInformation          `json:"affinityInfo,omitempty"`
	Constraints                  *TaskConstraints              `json:"constraints,omitempty"`
	RequiredSlots                *int32                        `json:"requiredSlots,omitempty"`
	UserIdentity                 *UserIdentity                 `json:"userIdentity,omitempty"`
	ExecutionInfo                *TaskExecutionInformation     `json:"executionInfo,omitempty"`
	NodeInfo                     *ComputeNodeInformation       `json:"nodeInfo,omitempty"`
	MultiInstanceSettings        *MultiInstanceSettings        `json:"multiInstanceSettings,omitempty"`
	Stats                        *TaskStatistics               `json:"stats,omitempty"`
	DependsOn                    *TaskDependencies             `json:"dependsOn,omitempty"`
	ApplicationPackageReferences []ApplicationPackageReference `json:"applicationPackageReferences,omitempty"`
	AuthenticationTokenSettings  *AuthenticationTokenSettings  `json:"authenticationTokenSettings,omitempty"`
}

type TaskAddParameter struct {
	ID                           string                        `json:"id,omitempty" batch:"required"`
	DisplayName                  string                        `json:"displayName,omitempty"`
	CommandLine                  string                        `json:"commandLine,omitempty" batch:"required"`
	ContainerSettings            *TaskContainerSettings        `json:"containerSettings,omitempty"`
	ExitConditions               *ExitConditions               `json:"exitConditions,omitempty"`
	ResourceFiles                []ResourceFile                `json:"resourceFiles,omitempty"`
	OutputFiles                  []OutputFile                  `json:"outputFiles,omitempty"`
	EnvironmentSettings          []EnvironmentSetting          `json:"environmentSettings,omitempty"`
	AffinityInfo                 *AffinityInformation          `json:"affinityInfo,omitempty"`
	Constraints                  *TaskConstraints              `json:"constraints,omitempty"`
	RequiredSlots                *int32                        `json:"requiredSlots,omitempty"`
	UserIdentity                 *UserIdentity                 `json:"userIdentity,omitempty"`
	MultiInstanceSettings        *MultiInstanceSettings        `json:"multiInstanceSettings,omitempty"`
	DependsOn                    *TaskDependencies             `json:"dependsOn,omitempty"`
	ApplicationPackageReferences []ApplicationPackageReference `json:"applicationPackageReferences,omitempty"`
	AuthenticationTokenSettings  *AuthenticationTokenSettings  `json:"authenticationTokenSettings,omitempty"`
}

type TaskAddCollectionParameter struct {
	Value []TaskAddParameter `json:"value" batch:"required"`
}

type TaskAddResult struct {
	Status       string    `json:"status" batch:"required,enum=success|clienterror|servererror"`
	TaskID       string    `json:"taskId" batch:"required"`
	ETag         string    `json:"eTag,omitempty"`
	LastModified time.Time `json:"lastModified,omitzero"`
	Location     string    `json:"location,omitempty"`
	Error        any       `json:"error,omitempty"`
}

type TaskAddCollectionResult struct {
	ODataMetadata string          `json:"odata.metadata,omitempty"`
	Value         []TaskAddResult `json:"value,omitempty"`
}

type TaskUpdateParameter struct {
	Constraints *TaskConstraints `json:"constraints,omitempty"`
}

type TaskConstraints struct {
	MaxWallClockTime  *Duration `json:"maxWallClockTime,omitempty"`
	RetentionTime     *Duration `json:"retentionTime,omitempty"`
	MaxTaskRetryCount *int32    `json:"maxTaskRetryCount,omitempty"`
}

type TaskDependencies struct {
	TaskIDs      []string      `json:"taskIds,omitempty"`
	TaskIDRanges []TaskIDRange `json:"taskIdRanges,omitempty"`
}

type TaskIDRange struct {
	Start *int32 `json:"start,omitempty" batch:"required"`
	End   *int32 `json:"end,omitempty" batch:"required"`
}

type ExitConditions struct {
	ExitCodes          []ExitCodeMapping      `json:"exitCodes,omitempty"`
	ExitCodeRanges     []ExitCodeRangeMapping `json:"exitCodeRanges,omitempty"`
	PreProcessingError *ExitOptions           `json:"preProcessingError,omitempty"`
	FileUploadError    *ExitOptions           `json:"fileUploadError,omitempty"`
	Default            *ExitOptions           `json:"default,omitempty"`
}

type ExitCodeMapping struct {
	Code        *int32       `json:"code,omitempty" batch:"required"`
	ExitOptions *ExitOptions `json:"exitOptions,omitempty" batch:"required"`
}

type ExitCodeRangeMapping struct {
	Start       *int32       `json:"start,omitempty" batch:"required"`
	End         *int32       `json:"end,omitempty" batch:"required"`
	ExitOptions *ExitOptions `json:"exitOptions,omitempty" batch:"required"`
}

type ExitOptions struct {
	JobAction        string `json:"jobAction,omitempty" batch:"enum=none|disable|terminate"`
	DependencyAction string `json:"dependencyAction,omitempty" batch:"enum=satisfy|block"`
}

type AffinityInformation struct {
	AffinityID string `json:"affinityId,omitempty" batch:"required"`
}

type MultiInstanceSettings struct {
	NumberOfInstances       *int32         `json:"numberOfInstances,omitempty"`
	CoordinationCommandLine string         `json:"coordinationCommandLine,omitempty" batch:"required"`
	CommonResourceFiles     []ResourceFile `json:"commonResourceFiles,omitempty"`
}

type AuthenticationTokenSettings struct {
	Access []string `json:"access,omitempty" batch:"enum=job"`
}

type TaskExecutionInformation struct {
	StartTime       time.Time                          `json:"startTime,omitzero"`
	EndTime         time.Time                          `json:"endTime,omitzero"`
	ExitCode        *int32                             `json:"exitCode,omitempty"`
	ContainerInfo   *TaskContainerExecutionInformation `json:"containerInfo,omitempty"`
	FailureInfo     *TaskFailureInformation            `json:"failureInfo,omitempty"`
	RetryCount      int32                              `json:"retryCount" batch:"required"`
	LastRetryTime   time.Time                          `json:"lastRetryTime,omitzero"`
	RequeueCount    int32                              `json:"requeueCount" batch:"required"`
	LastRequeueTime time.Time                          `json:"lastRequeueTime,omitzero"`
	Result          string                             `json:"result,omitempty" batch:"enum=success|failure"`
}

type TaskFailureInformation struct {
	Category string          `json:"category" batch:"required,enum=usererror|servererror"`
	Code     string          `json:"code,omitempty"`
	Message  string          `json:"message,omitempty"`
	Details  []NameValuePair `json:"details,omitempty"`
}

type TaskContainerExecutionInformation struct {
	ContainerID string `json:"containerId,omitempty"`
	State       string `json:"state,omitempty"`
	Error       string `json:"error,omitempty"`
}

type ComputeNodeInformation struct {
	AffinityID           string `json:"affinityId,omitempty"`
	NodeURL              string `json:"nodeUrl,omitempty"`
	PoolID               string `json:"poolId,omitempty"`
	NodeID               string `json:"nodeId,omitempty"`
	TaskRootDirectory    string `json:"taskRootDirectory,omitempty"`
	TaskRootDirectoryURL string `json:"taskRootDirectoryUrl,omitempty"`
}

type TaskStatistics struct {
	URL            string    `json:"url" batch:"required"`
	StartTime      time.Time `json:"startTime,omitzero" batch:"required"`
	LastUpdateTime time.Time `json:"lastUpdateTime,omitzero" batch:"required"`
	UserCPUTime    Duration  `json:"userCPUTime" batch:"required"`
	KernelCPUTime  Duration  `json:"kernelCPUTime" batch:"required"`
	WallClockTime  Duration  `json:"wallClockTime" batch:"required"`
	ReadIOps       int64     `json:"readIOps,string" batch:"required"`
	WriteIOps      int64     `json:"writeIOps,string" batch:"required"`
	ReadIOGiB      float64   `json:"readIOGiB" batch:"required"`
	WriteIOGiB     float64   `json:"writeIOGiB" batch:"required"`
	WaitTime       Duration  `json:"waitTime" batch:"required"`
}

type SubtaskInformation struct {
	ID                          *int32                             `json:"id,omitempty"`
	NodeInfo                    *ComputeNodeInformation            `json:"nodeInfo,omitempty"`
	StartTime                   time.Time                          `json:"startTime,omitzero"`
	EndTime                     time.Time                          `json:"endTime,omitzero"`
	ExitCode                    *int32                             `json:"exitCode,omitempty"`
	ContainerInfo               *TaskContainerExecutionInformation `json:"containerInfo,omitempty"`
	FailureInfo                 *TaskFailureInformation            `json:"failureInfo,omitempty"`
	State                       string                             `json:"state,omitempty" batch:"enum=preparing|running|completed"`
	StateTransitionTime         time.Time                          `json:"stateTransitionTime,omitzero"`
	PreviousState               string                             `json:"previousState,omitempty" batch:"enum=preparing|running|completed"`
	PreviousStateTransitionTime time.Time                          `json:"previousStateTransitionTime,omitzero"`
	Result                      string                             `json:"result,omitempty" batch:"enum=success|failure"`
}

type CloudTaskListSubtasksResult struct {
	ODataMetadata string               `json:"odata.metadata,omitempty"`
	Value         []SubtaskInformation `json:"value,omitempty"`
}

type TaskContainerSettings struct {
	ContainerRunOptions          string                             `json:"containerRunOptions,omitempty"`
	ImageName                    string                             `json:"imageName,omitempty" batch:"required"`
	Registry                     *ContainerRegistry                 `json:"registry,omitempty"`
	WorkingDirectory             string                             `json:"workingDirectory,omitempty" batch:"enum=taskWorkingDirectory|containerImageDefault"`
	ContainerHostBatchBindMounts []ContainerHostBatchBindMountEntry `json:"containerHostBatchBindMounts,omitempty"`
}

type ContainerHostBatchBindMountEntry struct {
	Source     string `json:"source,omitempty" batch:"enum=Shared|Startup|VfsMounts|Task|JobPrep|Applications"`
	IsReadOnly *bool  `json:"isReadOnly,omitempty"`
}

type ResourceFile struct {
	AutoStorageContainerName string                        `json:"autoStorageContainerName,omitempty"`
	StorageContainerURL      string                        `json:"storageContainerUrl,omitempty"`
	HTTPURL                  string                        `json:"httpUrl,omitempty"`
	BlobPrefix               string                        `json:"blobPrefix,omitempty"`
	FilePath                 string                        `json:"filePath,omitempty"`
	FileMode                 string                        `json:"fileMode,omitempty"`
	IdentityReference        *ComputeNodeIdentityReference `json:"identityReference,omitempty"`
}

type OutputFile struct {
	FilePattern   string                   `json:"filePattern,omitempty" batch:"required"`
	Destination   *OutputFileDestination   `json:"destination,omitempty" batch:"required"`
	UploadOptions *OutputFileUploadOptions `json:"uploadOptions,omitempty" batch:"required"`
}

type OutputFileDestination struct {
	Container *OutputFileBlobContainerDestination `json:"container,omitempty"`
}

type OutputFileBlobContainerDestination struct {
	Path              string                        `json:"path,omitempty"`
	ContainerURL      string                        `json:"containerUrl,omitempty" batch:"required"`
	IdentityReference *ComputeNodeIdentityReference `json:"identityReference,omitempty"`
	UploadHeaders     []HTTPHeader                  `json:"uploadHeaders,omitempty"`
}

type OutputFileUploadOptions struct {
	UploadCondition string `json:"uploadCondition,omitempty" batch:"required,enum=tasksuccess|taskfailure|taskcompletion"`
}

type HTTPHeader struct {
	Name  string `json:"name,omitempty" batch:"required"`
	Value string `json:"value,omitempty"`
}

type EnvironmentSetting struct {
	Name  string `json:"name,omitempty" batch:"required"`
	Value string `json:"value,omitempty"`
}

type UserIdentity struct {
	Username string                 `json:"username,omitempty"`
	AutoUser *AutoUserSpecification `json:"autoUser,omitempty"`
}

type AutoUserSpecification struct {
	Scope          string `json:"scope,omitempty" batch:"enum=task|pool"`
	ElevationLevel string `json:"elevationLevel,omitempty" batch:"enum=nonadmin|admin"`
}

type MetadataItem struct {
	Name  string `json:"name,omitempty" batch:"required"`
	Value string `json:"value"`
}

type NameValuePair struct {
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
}
