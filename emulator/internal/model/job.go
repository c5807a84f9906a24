package model

import (
	"time"
)

// Jobs and job schedules.

type CloudJob struct {
	ODataMetadata               string                   `json:"odata.metadata,omitempty"`
	ID                          string                   `json:"id,omitempty"`
	DisplayName                 string                   `json:"displayName,omitempty"`
	UsesTaskDependencies        *bool                    `json:"usesTaskDependencies,omitempty"`
	URL                         string                   `json:"url,omitempty"`
	ETag                        string                   `json:"eTag,omitempty"`
	LastModified                time.Time                `json:"lastModified,omitzero"`
	CreationTime                time.Time                `json:"creationTime,omitzero"`
	State                       string                   `json:"state,omitempty" batch:"enum=active|disabling|disabled|enabling|terminating|completed|deleting"`
	StateTransitionTime         time.Time                `json:"stateTransitionTime,omitzero"`
	PreviousState               string                   `json:"previousState,omitempty" batch:"enum=active|disabling|disabled|enabling|terminating|completed|deleting"`
	PreviousStateTransitionTime time.Time                `json:"previousStateTransitionTime,omitzero"`
	Priority                    *int32                   `json:"priority,omitempty"`
	AllowTaskPreemption         *bool                    `json:"allowTaskPreemption,omitempty"`
	MaxParallelTasks            *int32                   `json:"maxParallelTasks,omitempty"`
	Constraints                 *JobConstraints          `json:"constraints,omitempty"`
	JobManagerTask              *JobManagerTask          `json:"jobManagerTask,omitempty"`
	JobPreparationTask          *JobPreparationTask      `json:"jobPreparationTask,omitempty"`
	JobReleaseTask              *JobReleaseTask          `json:"jobReleaseTask,omitempty"`
	CommonEnvironmentSettings   []EnvironmentSetting     `json:"commonEnvironmentSettings,omitempty"`
	PoolInfo                    *PoolInformation         `json:"poolInfo,omitempty"`
	OnAllTasksComplete          string                   `json:"onAllTasksComplete,omitempty" batch:"enum=noaction|terminatejob"`
	OnTaskFailure               string                   `json:"onTaskFailure,omitempty" batch:"enum=noaction|performexitoptionsjobaction"`
	NetworkConfiguration        *JobNetworkConfiguration `json:"networkConfiguration,omitempty"`
	Metadata                    []MetadataItem           `json:"metadata,omitempty"`
	ExecutionInfo               *JobExecutionInformation `json:"executionInfo,omitempty"`
	Stats                       *JobStatistics           `json:"stats,omitempty"`
}

type JobAddParameter struct {
	ID                        string                   `json:"id,omitempty" batch:"required"`
	DisplayName               string                   `json:"displayName,omitempty"`
	Priority                  *int32                   `json:"priority,omitempty"`
	MaxParallelTasks          *int32                   `json:"maxParallelTasks,omitempty"`
	AllowTaskPreemption       *bool                    `json:"allowTaskPreemption,omitempty"`
	Constraints               *JobConstraints          `json:"constraints,omitempty"`
	JobManagerTask            *JobManagerTask          `json:"jobManagerTask,omitempty"`
	JobPreparationTask        *JobPreparationTask      `json:"jobPreparationTask,omitempty"`
	JobReleaseTask            *JobReleaseTask          `json:"jobReleaseTask,omitempty"`
	CommonEnvironmentSettings []EnvironmentSetting     `json:"commonEnvironmentSettings,omitempty"`
	PoolInfo                  *PoolInformation         `json:"poolInfo,omitempty" batch:"required"`
	OnAllTasksComplete        string                   `json:"onAllTasksComplete,omitempty" batch:"enum=noaction|terminatejob"`
	OnTaskFailure             string                   `json:"onTaskFailure,omitempty" batch:"enum=noaction|performexitoptionsjobaction"`
	Metadata                  []MetadataItem           `json:"metadata,omitempty"`
	UsesTaskDependencies      *bool                    `json:"usesTaskDependencies,omitempty"`
	NetworkConfiguration      *JobNetworkConfiguration `json:"networkConfiguration,omitempty"`
}

type JobPatchParameter struct {
	Priority             *int32                   `json:"priority,omitempty"`
	MaxParallelTasks     *int32                   `json:"maxParallelTasks,omitempty"`
	AllowTaskPreemption  *bool                    `json:"allowTaskPreemption,omitempty"`
	OnAllTasksComplete   string                   `json:"onAllTasksComplete,omitempty" batch:"enum=noaction|terminatejob"`
	Constraints          *JobConstraints          `json:"constraints,omitempty"`
	PoolInfo             *PoolInformation         `json:"poolInfo,omitempty"`
	NetworkConfiguration *JobNetworkConfiguration `json:"networkConfiguration,omitempty"`
	Metadata             []MetadataItem           `json:"metadata,omitempty"`
}

type JobUpdateParameter struct {
	Priority            *int32           `json:"priority,omitempty"`
	MaxParallelTasks    *int32           `json:"maxParallelTasks,omitempty"`
	AllowTaskPreemption *bool            `json:"allowTaskPreemption,omitempty"`
	Constraints         *JobConstraints  `json:"constraints,omitempty"`
	PoolInfo            *PoolInformation `json:"poolInfo,omitempty" batch:"required"`
	Metadata            []MetadataItem   `json:"metadata,omitempty"`
	OnAllTasksComplete  string           `json:"onAllTasksComplete,omitempty" batch:"enum=noaction|terminatejob"`
}

type JobDisableParameter struct {
	DisableTasks string `json:"disableTasks,omitempty" batch:"required,enum=requeue|terminate|wait"`
}

type JobTerminateParameter struct {
	TerminateReason string `json:"terminateReason,omitempty"`
}

type JobConstraints struct {
	MaxWallClockTime  *Duration `json:"maxWallClockTime,omitempty"`
	MaxTaskRetryCount *int32    `json:"maxTaskRetryCount,omitempty"`
}

type JobNetworkConfiguration struct {
	SubnetID             string `json:"subnetId,omitempty" batch:"required"`
	SkipWithdrawFromVNet *bool  `json:"skipWithdrawFromVNet,omitempty"`
}

type JobManagerTask struct {
	ID                           string                        `json:"id,omitempty" batch:"required"`
	DisplayName                  string                        `json:"displayName,omitempty"`
	CommandLine                  string                        `json:"commandLine,omitempty" batch:"required"`
	ContainerSettings            *TaskContainerSettings        `json:"containerSettings,omitempty"`
	ResourceFiles                []ResourceFile                `json:"resourceFiles,omitempty"`
	OutputFiles                  []OutputFile                  `json:"outputFiles,omitempty"`
	EnvironmentSettings          []EnvironmentSetting          `json:"environmentSettings,omitempty"`
	Constraints                  *TaskConstraints              `json:"constraints,omitempty"`
	RequiredSlots                *int32                        `json:"requiredSlots,omitempty"`
	KillJobOnCompletion          *bool                         `json:"killJobOnCompletion,omitempty"`
	UserIdentity                 *UserIdentity                 `json:"userIdentity,omitempty"`
	RunExclusive                 *bool                         `json:"runExclusive,omitempty"`
	ApplicationPackageReferences []ApplicationPackageReference `json:"applicationPackageReferences,omitempty"`
	AuthenticationTokenSettings  *AuthenticationTokenSettings  `json:"authenticationTokenSettings,omitempty"`
	AllowLowPriorityNode         *bool                         `json:"allowLowPriorityNode,omitempty"`
}

type JobPreparationTask struct {
	ID                            string                 `json:"id,omitempty"`
	CommandLine                   string                 `json:"commandLine,omitempty" batch:"required"`
	ContainerSettings             *TaskContainerSettings `json:"containerSettings,omitempty"`
	ResourceFiles                 []ResourceFile         `json:"resourceFiles,omitempty"`
	EnvironmentSettings           []EnvironmentSetting   `json:"environmentSettings,omitempty"`
	Constraints                   *TaskConstraints       `json:"constraints,omitempty"`
	WaitForSuccess                *bool                  `json:"waitForSuccess,omitempty"`
	UserIdentity                  *UserIdentity          `json:"userIdentity,omitempty"`
	RerunOnNodeRebootAfterSuccess *bool                  `json:"rerunOnNodeRebootAfterSuccess,omitempty"`
}

type JobReleaseTask struct {
	ID                  string                 `json:"id,omitempty"`
	CommandLine         string                 `json:"commandLine,omitempty" batch:"required"`
	ContainerSettings   *TaskContainerSettings `json:"containerSettings,omitempty"`
	ResourceFiles       []ResourceFile         `json:"resourceFiles,omitempty"`
	EnvironmentSettings []EnvironmentSetting   `json:"environmentSettings,omitempty"`
	MaxWallClockTime    *Duration              `json:"maxWallClockTime,omitempty"`
	RetentionTime       *Duration              `json:"retentionTime,omitempty"`
	UserIdentity        *UserIdentity          `json:"userIdentity,omitempty"`
}

type JobExecutionInformation struct {
	StartTime       time.Time           `json:"startTime,omitzero" batch:"required"`
	EndTime         time.Time           `json:"endTime,omitzero"`
	PoolID          string              `json:"poolId,omitempty"`
	SchedulingError *JobSchedulingError `json:"schedulingError,omitempty"`
	TerminateReason string              `json:"terminateReason,omitempty"`
}

type JobSchedulingError struct {
	Category string          `json:"category" batch:"required,enum=usererror|servererror"`
	Code     string          `json:"code,omitempty"`
	Message  string          `json:"message,omitempty"`
	Details  []NameValuePair `json:"details,omitempty"`
}

type JobStatistics struct {
	URL               string    `json:"url" batch:"required"`
	StartTime         time.Time `json:"startTime,omitzero" batch:"required"`
	LastUpdateTime    time.Time `json:"lastUpdateTime,omitzero" batch:"required"`
	UserCPUTime       Duration  `json:"userCPUTime" batch:"required"`
	KernelCPUTime     Duration  `json:"kernelCPUTime" batch:"required"`
	WallClockTime     Duration  `json:"wallClockTime" batch:"required"`
	ReadIOps          int64     `json:"readIOps,string" batch:"required"`
	WriteIOps         int64     `json:"writeIOps,string" batch:"required"`
	ReadIOGiB         float64   `json:"readIOGiB" batch:"required"`
	WriteIOGiB        float64   `json:"writeIOGiB" batch:"required"`
	NumSucceededTasks int64     `json:"numSucceededTasks,string" batch:"required"`
	NumFailedTasks    int64     `json:"numFailedTasks,string" batch:"required"`
	NumTaskRetries    int64     `json:"numTaskRetries,string" batch:"required"`
	WaitTime          Duration  `json:"waitTime" batch:"required"`
}

type JobPreparationAndReleaseTaskExecutionInformation struct {
	PoolID                          string                                  `json:"poolId,omitempty"`
	NodeID                          string                                  `json:"nodeId,omitempty"`
	NodeURL                         string                                  `json:"nodeUrl,omitempty"`
	JobPreparationTaskExecutionInfo *JobPreparationTaskExecutionInformation `json:"jobPreparationTaskExecutionInfo,omitempty"`
	JobReleaseTaskExecutionInfo     *JobReleaseTaskExecutionInformation     `json:"jobReleaseTaskExecutionInfo,omitempty"`
}

type JobPreparationTaskExecutionInformation struct {
	StartTime            time.Time                          `json:"startTime,omitzero" batch:"required"`
	EndTime              time.Time                          `json:"endTime,omitzero"`
	State                string                             `json:"state" batch:"required,enum=running|completed"`
	TaskRootDirectory    string                             `json:"taskRootDirectory,omitempty"`
	TaskRootDirectoryURL string                             `json:"taskRootDirectoryUrl,omitempty"`
	ExitCode             *int32                             `json:"exitCode,omitempty"`
	ContainerInfo        *TaskContainerExecutionInformation `json:"containerInfo,omitempty"`
	FailureInfo          *TaskFailureInformation            `json:"failureInfo,omitempty"`
	RetryCount           int32                              `json:"retryCount" batch:"required"`
	LastRetryTime        time.Time                          `json:"lastRetryTime,omitzero"`
	Result               string                             `json:"result,omitempty" batch:"enum=success|failure"`
}

type JobReleaseTaskExecutionInformation struct {
	StartTime            time.Time                          `json:"startTime,omitzero" batch:"required"`
	EndTime              time.Time                          `json:"endTime,omitzero"`
	State                string                             `json:"state" batch:"required,enum=running|completed"`
	TaskRootDirectory    string                             `json:"taskRootDirectory,omitempty"`
	TaskRootDirectoryURL string                             `json:"taskRootDirectoryUrl,omitempty"`
	ExitCode             *int32                             `json:"exitCode,omitempty"`
	ContainerInfo        *TaskContainerExecutionInformation `json:"containerInfo,omitempty"`
	FailureInfo          *TaskFailureInformation            `json:"failureInfo,omitempty"`
	Result               string                             `json:"result,omitempty" batch:"enum=success|failure"`
}

type TaskCountsResult struct {
	ODataMetadata  string      `json:"odata.metadata,omitempty"`
	TaskCounts     *TaskCounts `json:"taskCounts,omitempty" batch:"required"`
	TaskSlotCounts *TaskCounts `json:"taskSlotCounts,omitempty" batch:"required"`
}

type TaskCounts struct {
	Active    int32 `json:"active" batch:"required"`
	Running   int32 `json:"running" batch:"required"`
	Completed int32 `json:"completed" batch:"required"`
	Succeeded int32 `json:"succeeded" batch:"required"`
	Failed    int32 `json:"failed" batch:"required"`
}

type CloudJobSchedule struct {
	ODataMetadata               string                           `json:"odata.metadata,omitempty"`
	ID                          string                           `json:"id,omitempty"`
	DisplayName                 string                           `json:"displayName,omitempty"`
	URL                         string                           `json:"url,omitempty"`
	ETag                        string                           `json:"eTag,omitempty"`
	LastModified                time.Time                        `json:"lastModified,omitzero"`
	CreationTime                time.Time                        `json:"creationTime,omitzero"`
	State                       string                           `json:"state,omitempty" batch:"enum=active|completed|disabled|terminating|deleting"`
	StateTransitionTime         time.Time                        `json:"stateTransitionTime,omitzero"`
	PreviousState               string                           `json:"previousState,omitempty" batch:"enum=active|completed|disabled|terminating|deleting"`
	PreviousStateTransitionTime time.Time                        `json:"previousStateTransitionTime,omitzero"`
	Schedule                    *Schedule                        `json:"schedule,omitempty"`
	JobSpecification            *JobSpecification                `json:"jobSpecification,omitempty"`
	ExecutionInfo               *JobScheduleExecutionInformation `json:"executionInfo,omitempty"`
	Metadata                    []MetadataItem                   `json:"metadata,omitempty"`
	Stats                       *JobStatistics                   `json:"stats,omitempty"`
}

type JobScheduleAddParameter struct {
	ID               string            `json:"id,omitempty" batch:"required"`
	DisplayName      string            `json:"displayName,omitempty"`
	Schedule         *Schedule         `json:"schedule,omitempty" batch:"required"`
	JobSpecification *JobSpecification `json:"jobSpecification,omitempty" batch:"required"`
	Metadata         []MetadataItem    `json:"metadata,omitempty"`
}

type JobSchedulePatchParameter struct {
	Schedule         *Schedule         `json:"schedule,omitempty"`
	JobSpecification *JobSpecification `json:"jobSpecification,omitempty"`
	Metadata         []MetadataItem    `json:"metadata,omitempty"`
}

type JobScheduleUpdateParameter struct {
	Schedule         *Schedule         `json:"schedule,omitempty" batch:"required"`
	JobSpecification *JobSpecification `json:"jobSpecification,omitempty" batch:"required"`
	Metadata         []MetadataItem    `json:"metadata,omitempty"`
}

type JobScheduleExecutionInformation struct {
	NextRunTime time.Time  `json:"nextRunTime,omitzero"`
	RecentJob   *RecentJob `json:"recentJob,omitempty"`
	EndTime     time.Time  `json:"endTime,omitzero"`
}

type JobSpecification struct {
	Priority                  *int32                   `json:"priority,omitempty"`
	AllowTaskPreemption       *bool                    `json:"allowTaskPreemption,omitempty"`
	MaxParallelTasks          *int32                   `json:"maxParallelTasks,omitempty"`
	DisplayName               string                   `json:"displayName,omitempty"`
	UsesTaskDependencies      *bool                    `json:"usesTaskDependencies,omitempty"`
	OnAllTasksComplete        string                   `json:"onAllTasksComplete,omitempty" batch:"enum=noaction|terminatejob"`
	OnTaskFailure             string                   `json:"onTaskFailure,omitempty" batch:"enum=noaction|performexitoptionsjobaction"`
	NetworkConfiguration      *JobNetworkConfiguration `json:"networkConfiguration,omitempty"`
	Constraints               *JobConstraints          `json:"constraints,omitempty"`
	JobManagerTask            *JobManagerTask          `json:"jobManagerTask,omitempty"`
	JobPreparationTask        *JobPreparationTask      `json:"jobPreparationTask,omitempty"`
	JobReleaseTask            *JobReleaseTask          `json:"jobReleaseTask,omitempty"`
	CommonEnvironmentSettings []EnvironmentSetting     `json:"commonEnvironmentSettings,omitempty"`
	PoolInfo                  *PoolInformation         `json:"poolInfo,omitempty" batch:"required"`
	Metadata                  []MetadataItem           `json:"metadata,omitempty"`
}

type Schedule struct {
	DoNotRunUntil      time.Time `json:"doNotRunUntil,omitzero"`
	DoNotRunAfter      time.Time `json:"doNotRunAfter,omitzero"`
	StartWindow        *Duration `json:"startWindow,omitempty"`
	RecurrenceInterval *Duration `json:"recurrenceInterval,omitempty"`
}

type RecentJob struct {
	ID  string `json:"id,omitempty"`
	URL string `json:"url,omitempty"`
}
