package model

import (
	"time"
)

// Compute nodes.

type ComputeNode struct {
	ODataMetadata         string                            `json:"odata.metadata,omitempty"`
	ID                    string                            `json:"id,omitempty"`
	URL                   string                            `json:"url,omitempty"`
	State                 string                            `json:"state,omitempty" batch:"enum=idle|rebooting|reimaging|running|unusable|creating|starting|waitingforstarttask|starttaskfailed|unknown|leavingpool|offline|preempted|upgradingos|deallocated|deallocating"`
	SchedulingState       string                            `json:"schedulingState,omitempty" batch:"enum=enabled|disabled"`
	StateTransitionTime   time.Time                         `json:"stateTransitionTime,omitzero"`
	LastBootTime          time.Time                         `json:"lastBootTime,omitzero"`
	AllocationTime        time.Time                         `json:"allocationTime,omitzero"`
	IPAddress             string                            `json:"ipAddress,omitempty"`
	AffinityID            string                            `json:"affinityId,omitempty"`
	VMSize                string                            `json:"vmSize,omitempty"`
	TotalTasksRun         *int32                            `json:"totalTasksRun,omitempty"`
	RunningTasksCount     *int32                            `json:"runningTasksCount,omitempty"`
	RunningTaskSlotsCount *int32                            `json:"runningTaskSlotsCount,omitempty"`
	TotalTasksSucceeded   *int32                            `json:"totalTasksSucceeded,omitempty"`
	RecentTasks           []TaskInformation                 `json:"recentTasks,omitempty"`
	StartTask             *StartTask                        `json:"startTask,omitempty"`
	StartTaskInfo         *StartTaskInformation             `json:"startTaskInfo,omitempty"`
	CertificateReferences []CertificateReference            `json:"certificateReferences,omitempty"`
	Errors                []ComputeNodeError                `json:"errors,omitempty"`
	IsDedicated           *bool                             `json:"isDedicated,omitempty"`
	EndpointConfiguration *ComputeNodeEndpointConfiguration `json:"endpointConfiguration,omitempty"`
	NodeAgentInfo         *NodeAgentInformation             `json:"nodeAgentInfo,omitempty"`
	VirtualMachineInfo    *VirtualMachineInfo               `json:"virtualMachineInfo,omitempty"`
}

type ComputeNodeError struct {
	Code         string          `json:"code,omitempty"`
	Message      string          `json:"message,omitempty"`
	ErrorDetails []NameValuePair `json:"errorDetails,omitempty"`
}

type TaskInformation struct {
	TaskURL       string                    `json:"taskUrl,omitempty"`
	JobID         string                    `json:"jobId,omitempty"`
	TaskID        string                    `json:"taskId,omitempty"`
	SubtaskID     *int32                    `json:"subtaskId,omitempty"`
	TaskState     string                    `json:"taskState,omitempty" batch:"required,enum=active|preparing|running|completed"`
	ExecutionInfo *TaskExecutionInformation `json:"executionInfo,omitempty"`
}

type StartTaskInformation struct {
	State         string                             `json:"state" batch:"required,enum=running|completed"`
	StartTime     time.Time                          `json:"startTime,omitzero" batch:"required"`
	EndTime       time.Time                          `json:"endTime,omitzero"`
	ExitCode      *int32                             `json:"exitCode,omitempty"`
	ContainerInfo *TaskContainerExecutionInformation `json:"containerInfo,omitempty"`
	FailureInfo   *TaskFailureInformation            `json:"failureInfo,omitempty"`
	RetryCount    int32                              `json:"retryCount" batch:"required"`
	LastRetryTime time.Time                          `json:"lastRetryTime,omitzero"`
	Result        string                             `json:"result,omitempty" batch:"enum=success|failure"`
}

type NodeAgentInformation struct {
	Version        string    `json:"version" batch:"required"`
	LastUpdateTime time.Time `json:"lastUpdateTime,omitzero" batch:"required"`
}

type VirtualMachineInfo struct {
	ImageReference       *ImageReference `json:"imageReference,omitempty"`
	ScaleSetVMResourceID string          `json:"scaleSetVmResourceId,omitempty"`
}

type ComputeNodeEndpointConfiguration struct {
	InboundEndpoints []InboundEndpoint `json:"inboundEndpoints" batch:"required"`
}

type InboundEndpoint struct {
	Name            string `json:"name" batch:"required"`
	Protocol        string `json:"protocol" batch:"required,enum=tcp|udp"`
	PublicIPAddress string `json:"publicIPAddress" batch:"required"`
	PublicFQDN      string `json:"publicFQDN" batch:"required"`
	FrontendPort    int32  `json:"frontendPort" batch:"required"`
	BackendPort     int32  `json:"backendPort" batch:"required"`
}

type ComputeNodeUser struct {
	Name         string    `json:"name,omitempty" batch:"required"`
	IsAdmin      *bool     `json:"isAdmin,omitempty"`
	ExpiryTime   time.Time `json:"expiryTime,omitzero"`
	Password     string    `json:"password,omitempty"`
	SSHPublicKey string    `json:"sshPublicKey,omitempty"`
}

type NodeUpdateUserParameter struct {
	Password     string    `json:"password,omitempty"`
	ExpiryTime   time.Time `json:"expiryTime,omitzero"`
	SSHPublicKey string    `json:"sshPublicKey,omitempty"`
}

type ComputeNodeGetRemoteLoginSettingsResult struct {
	ODataMetadata        string `json:"odata.metadata,omitempty"`
	RemoteLoginIPAddress string `json:"remoteLoginIPAddress" batch:"required"`
	RemoteLoginPort      int32  `json:"remoteLoginPort" batch:"required"`
}

type NodeRebootParameter struct {
	NodeRebootOption string `json:"nodeRebootOption,omitempty" batch:"enum=requeue|terminate|taskcompletion|retaineddata"`
}

type NodeReimageParameter struct {
	NodeReimageOption string `json:"nodeReimageOption,omitempty" batch:"enum=requeue|terminate|taskcompletion|retaineddata"`
}

type NodeDisableSchedulingParameter struct {
	NodeDisableSchedulingOption string `json:"nodeDisableSchedulingOption,omitempty" batch:"enum=requeue|terminate|taskcompletion"`
}

type NodeDeallocateParameter struct {
	NodeDeallocateOption string `json:"nodeDeallocateOption,omitempty" batch:"enum=requeue|terminate|taskcompletion|retaineddata"`
}

type UploadBatchServiceLogsConfiguration struct {
	ContainerURL      string                        `json:"containerUrl,omitempty" batch:"required"`
	StartTime         time.Time                     `json:"startTime,omitzero" batch:"required"`
	EndTime           time.Time                     `json:"endTime,omitzero"`
	IdentityReference *ComputeNodeIdentityReference `json:"identityReference,omitempty"`
}

type UploadBatchServiceLogsResult struct {
	ODataMetadata         string `json:"odata.metadata,omitempty"`
	VirtualDirectoryName  string `json:"virtualDirectoryName" batch:"required"`
	NumberOfFilesUploaded int32  `json:"numberOfFilesUploaded" batch:"required"`
}

type NodeVMExtension struct {
	ODataMetadata     string                   `json:"odata.metadata,omitempty"`
	ProvisioningState string                   `json:"provisioningState,omitempty"`
	VMExtension       *VMExtension             `json:"vmExtension,omitempty"`
	InstanceView      *VMExtensionInstanceView `json:"instanceView,omitempty"`
}

type VMExtensionInstanceView struct {
	Name        string               `json:"name,omitempty"`
	Statuses    []InstanceViewStatus `json:"statuses,omitempty"`
	SubStatuses []InstanceViewStatus `json:"subStatuses,omitempty"`
}

type InstanceViewStatus struct {
	Code          string `json:"code,omitempty"`
	DisplayStatus string `json:"displayStatus,omitempty"`
	Level         string `json:"level,omitempty" batch:"enum=Error|Info|Warning"`
	Message       string `json:"message,omitempty"`
	Time          string `json:"time,omitempty"`
}
