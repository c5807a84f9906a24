package model

import (
	"time"
)

// Pools: what they are made of, and what changes them.

type CloudPool struct {
	ODataMetadata                 string                        `json:"odata.metadata,omitempty"`
	ID                            string                        `json:"id,omitempty"`
	DisplayName                   string                        `json:"displayName,omitempty"`
	URL                           string                        `json:"url,omitempty"`
	ETag                          string                        `json:"eTag,omitempty"`
	LastModified                  time.Time                     `json:"lastModified,omitzero"`
	CreationTime                  time.Time                     `json:"creationTime,omitzero"`
	State                         string                        `json:"state,omitempty" batch:"enum=active|deleting"`
	StateTransitionTime           time.Time                     `json:"stateTransitionTime,omitzero"`
	AllocationState               string                        `json:"allocationState,omitempty" batch:"enum=steady|resizing|stopping"`
	AllocationStateTransitionTime time.Time                     `json:"allocationStateTransitionTime,omitzero"`
	VMSize                        string                        `json:"vmSize,omitempty"`
	VirtualMachineConfiguration   *VirtualMachineConfiguration  `json:"virtualMachineConfiguration,omitempty"`
	ResizeTimeout                 *Duration                     `json:"resizeTimeout,omitempty"`
	ResizeErrors                  []ResizeError                 `json:"resizeErrors,omitempty"`
	CurrentDedicatedNodes         *int32                        `json:"currentDedicatedNodes,omitempty"`
	CurrentLowPriorityNodes       *int32                        `json:"currentLowPriorityNodes,omitempty"`
	TargetDedicatedNodes          *int32                        `json:"targetDedicatedNodes,omitempty"`
	TargetLowPriorityNodes        *int32                        `json:"targetLowPriorityNodes,omitempty"`
	EnableAutoScale               *bool                         `json:"enableAutoScale,omitempty"`
	AutoScaleFormula              string                        `json:"autoScaleFormula,omitempty"`
	AutoScaleEvaluationInterval   *Duration                     `json:"autoScaleEvaluationInterval,omitempty"`
	AutoScaleRun                  *AutoScaleRun                 `json:"autoScaleRun,omitempty"`
	EnableInterNodeCommunication  *bool                         `json:"enableInterNodeCommunication,omitempty"`
	NetworkConfiguration          *NetworkConfiguration         `json:"networkConfiguration,omitempty"`
	StartTask                     *StartTask                    `json:"startTask,omitempty"`
	CertificateReferences         []CertificateReference        `json:"certificateReferences,omitempty"`
	ApplicationPackageReferences  []ApplicationPackageReference `json:"applicationPackageReferences,omitempty"`
	TaskSlotsPerNode              *int32                        `json:"taskSlotsPerNode,omitempty"`
	TaskSchedulingPolicy          *TaskSchedulingPolicy         `json:"taskSchedulingPolicy,omitempty"`
	UserAccounts                  []UserAccount                 `json:"userAccounts,omitempty"`
	Metadata                      []MetadataItem                `json:"metadata,omitempty"`
	Stats                         *PoolStatistics               `json:"stats,omitempty"`
	MountConfiguration            []MountConfiguration          `json:"mountConfiguration,omitempty"`
	Identity                      *BatchPoolIdentity            `json:"identity,omitempty"`
	TargetNodeCommunicationMode   string                        `json:"targetNodeCommunicationMode,omitempty" batch:"enum=default|classic|simplified"`
	CurrentNodeCommunicationMode  string                        `json:"currentNodeCommunicationMode,omitempty" batch:"enum=default|classic|simplified"`
	UpgradePolicy                 *UpgradePolicy                `json:"upgradePolicy,omitempty"`
	ResourceTags                  map[string]string             `json:"resourceTags,omitempty"`
}

type PoolAddParameter struct {
	ID                           string                        `json:"id,omitempty" batch:"required"`
	DisplayName                  string                        `json:"displayName,omitempty"`
	VMSize                       string                        `json:"vmSize,omitempty" batch:"required"`
	VirtualMachineConfiguration  *VirtualMachineConfiguration  `json:"virtualMachineConfiguration,omitempty"`
	ResizeTimeout                *Duration                     `json:"resizeTimeout,omitempty"`
	TargetDedicatedNodes         *int32                        `json:"targetDedicatedNodes,omitempty"`
	TargetLowPriorityNodes       *int32                        `json:"targetLowPriorityNodes,omitempty"`
	EnableAutoScale              *bool                         `json:"enableAutoScale,omitempty"`
	AutoScaleFormula             string                        `json:"autoScaleFormula,omitempty"`
	AutoScaleEvaluationInterval  *Duration                     `json:"autoScaleEvaluationInterval,omitempty"`
	EnableInterNodeCommunication *bool                         `json:"enableInterNodeCommunication,omitempty"`
	NetworkConfiguration         *NetworkConfiguration         `json:"networkConfiguration,omitempty"`
	StartTask                    *StartTask                    `json:"startTask,omitempty"`
	CertificateReferences        []CertificateReference        `json:"certificateReferences,omitempty"`
	ApplicationPackageReferences []ApplicationPackageReference `json:"applicationPackageReferences,omitempty"`
	TaskSlotsPerNode             *int32                        `json:"taskSlotsPerNode,omitempty"`
	TaskSchedulingPolicy         *TaskSchedulingPolicy         `json:"taskSchedulingPolicy,omitempty"`
	UserAccounts                 []UserAccount                 `json:"userAccounts,omitempty"`
	Metadata                     []MetadataItem                `json:"metadata,omitempty"`
	MountConfiguration           []MountConfiguration          `json:"mountConfiguration,omitempty"`
	TargetNodeCommunicationMode  string                        `json:"targetNodeCommunicationMode,omitempty" batch:"enum=default|classic|simplified"`
	UpgradePolicy                *UpgradePolicy                `json:"upgradePolicy,omitempty"`
	ResourceTags                 map[string]string             `json:"resourceTags,omitempty"`
}

type PoolPatchParameter struct {
	StartTask                    *StartTask                    `json:"startTask,omitempty"`
	CertificateReferences        []CertificateReference        `json:"certificateReferences,omitempty"`
	ApplicationPackageReferences []ApplicationPackageReference `json:"applicationPackageReferences,omitempty"`
	Metadata                     []MetadataItem                `json:"metadata,omitempty"`
	TargetNodeCommunicationMode  string                        `json:"targetNodeCommunicationMode,omitempty" batch:"enum=default|classic|simplified"`
	DisplayName                  string                        `json:"displayName,omitempty"`
	VMSize                       string                        `json:"vmSize,omitempty"`
	TaskSlotsPerNode             *int32                        `json:"taskSlotsPerNode,omitempty"`
	TaskSchedulingPolicy         *TaskSchedulingPolicy         `json:"taskSchedulingPolicy,omitempty"`
	EnableInterNodeCommunication *bool                         `json:"enableInterNodeCommunication,omitempty"`
	VirtualMachineConfiguration  *VirtualMachineConfiguration  `json:"virtualMachineConfiguration,omitempty"`
	NetworkConfiguration         *NetworkConfiguration         `json:"networkConfiguration,omitempty"`
	UserAccounts                 []UserAccount                 `json:"userAccounts,omitempty"`
	MountConfiguration           []MountConfiguration          `json:"mountConfiguration,omitempty"`
	UpgradePolicy                *UpgradePolicy                `json:"upgradePolicy,omitempty"`
	ResourceTags                 map[string]string             `json:"resourceTags,omitempty"`
}

type PoolUpdatePropertiesParameter struct {
	StartTask                    *StartTask                    `json:"startTask,omitempty"`
	CertificateReferences        []CertificateReference        `json:"certificateReferences" batch:"required"`
	ApplicationPackageReferences []ApplicationPackageReference `json:"applicationPackageReferences" batch:"required"`
	Metadata                     []MetadataItem                `json:"metadata" batch:"required"`
	TargetNodeCommunicationMode  string                        `json:"targetNodeCommunicationMode,omitempty" batch:"enum=default|classic|simplified"`
}

type PoolEnableAutoScaleParameter struct {
	AutoScaleFormula            string    `json:"autoScaleFormula,omitempty"`
	AutoScaleEvaluationInterval *Duration `json:"autoScaleEvaluationInterval,omitempty"`
}

type PoolEvaluateAutoScaleParameter struct {
	AutoScaleFormula string `json:"autoScaleFormula,omitempty" batch:"required"`
}

type PoolResizeParameter struct {
	TargetDedicatedNodes   *int32    `json:"targetDedicatedNodes,omitempty"`
	TargetLowPriorityNodes *int32    `json:"targetLowPriorityNodes,omitempty"`
	ResizeTimeout          *Duration `json:"resizeTimeout,omitempty"`
	NodeDeallocationOption string    `json:"nodeDeallocationOption,omitempty" batch:"enum=requeue|terminate|taskcompletion|retaineddata"`
}

type NodeRemoveParameter struct {
	NodeList               []string  `json:"nodeList" batch:"required"`
	ResizeTimeout          *Duration `json:"resizeTimeout,omitempty"`
	NodeDeallocationOption string    `json:"nodeDeallocationOption,omitempty" batch:"enum=requeue|terminate|taskcompletion|retaineddata"`
}

type PoolSpecification struct {
	DisplayName                  string                        `json:"displayName,omitempty"`
	VMSize                       string                        `json:"vmSize,omitempty" batch:"required"`
	VirtualMachineConfiguration  *VirtualMachineConfiguration  `json:"virtualMachineConfiguration,omitempty"`
	TaskSlotsPerNode             *int32                        `json:"taskSlotsPerNode,omitempty"`
	TaskSchedulingPolicy         *TaskSchedulingPolicy         `json:"taskSchedulingPolicy,omitempty"`
	ResizeTimeout                *Duration                     `json:"resizeTimeout,omitempty"`
	TargetDedicatedNodes         *int32                        `json:"targetDedicatedNodes,omitempty"`
	TargetLowPriorityNodes       *int32                        `json:"targetLowPriorityNodes,omitempty"`
	EnableAutoScale              *bool                         `json:"enableAutoScale,omitempty"`
	AutoScaleFormula             string                        `json:"autoScaleFormula,omitempty"`
	AutoScaleEvaluationInterval  *Duration                     `json:"autoScaleEvaluationInterval,omitempty"`
	EnableInterNodeCommunication *bool                         `json:"enableInterNodeCommunication,omitempty"`
	NetworkConfiguration         *NetworkConfiguration         `json:"networkConfiguration,omitempty"`
	StartTask                    *StartTask                    `json:"startTask,omitempty"`
	CertificateReferences        []CertificateReference        `json:"certificateReferences,omitempty"`
	ApplicationPackageReferences []ApplicationPackageReference `json:"applicationPackageReferences,omitempty"`
	UserAccounts                 []UserAccount                 `json:"userAccounts,omitempty"`
	Metadata                     []MetadataItem                `json:"metadata,omitempty"`
	MountConfiguration           []MountConfiguration          `json:"mountConfiguration,omitempty"`
	TargetNodeCommunicationMode  string                        `json:"targetNodeCommunicationMode,omitempty" batch:"enum=default|classic|simplified"`
	UpgradePolicy                *UpgradePolicy                `json:"upgradePolicy,omitempty"`
	ResourceTags                 map[string]string             `json:"resourceTags,omitempty"`
}

type AutoPoolSpecification struct {
	AutoPoolIDPrefix   string             `json:"autoPoolIdPrefix,omitempty"`
	PoolLifetimeOption string             `json:"poolLifetimeOption,omitempty" batch:"required,enum=jobschedule|job"`
	KeepAlive          *bool              `json:"keepAlive,omitempty"`
	Pool               *PoolSpecification `json:"pool,omitempty"`
}

type PoolInformation struct {
	PoolID                string                 `json:"poolId,omitempty"`
	AutoPoolSpecification *AutoPoolSpecification `json:"autoPoolSpecification,omitempty"`
}

type AutoScaleRun struct {
	ODataMetadata string             `json:"odata.metadata,omitempty"`
	Timestamp     time.Time          `json:"timestamp,omitzero" batch:"required"`
	Results       string             `json:"results,omitempty"`
	Error         *AutoScaleRunError `json:"error,omitempty"`
}

type AutoScaleRunError struct {
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Values  []NameValuePair `json:"values,omitempty"`
}

type ResizeError struct {
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Values  []NameValuePair `json:"values,omitempty"`
}

type TaskSchedulingPolicy struct {
	NodeFillType string `json:"nodeFillType,omitempty" batch:"required,enum=spread|pack"`
}

type StartTask struct {
	CommandLine         string                 `json:"commandLine,omitempty" batch:"required"`
	ContainerSettings   *TaskContainerSettings `json:"containerSettings,omitempty"`
	ResourceFiles       []ResourceFile         `json:"resourceFiles,omitempty"`
	EnvironmentSettings []EnvironmentSetting   `json:"environmentSettings,omitempty"`
	UserIdentity        *UserIdentity          `json:"userIdentity,omitempty"`
	MaxTaskRetryCount   *int32                 `json:"maxTaskRetryCount,omitempty"`
	WaitForSuccess      *bool                  `json:"waitForSuccess,omitempty"`
}

type CertificateReference struct {
	Thumbprint          string   `json:"thumbprint,omitempty" batch:"required"`
	ThumbprintAlgorithm string   `json:"thumbprintAlgorithm,omitempty" batch:"required"`
	StoreLocation       string   `json:"storeLocation,omitempty" batch:"enum=currentuser|localmachine"`
	StoreName           string   `json:"storeName,omitempty"`
	Visibility          []string `json:"visibility,omitempty" batch:"enum=starttask|task|remoteuser"`
}

type ApplicationPackageReference struct {
	ApplicationID string `json:"applicationId,omitempty" batch:"required"`
	Version       string `json:"version,omitempty"`
}

type UserAccount struct {
	Name                     string                    `json:"name,omitempty" batch:"required"`
	Password                 string                    `json:"password,omitempty" batch:"required,secret"`
	ElevationLevel           string                    `json:"elevationLevel,omitempty" batch:"enum=nonadmin|admin"`
	LinuxUserConfiguration   *LinuxUserConfiguration   `json:"linuxUserConfiguration,omitempty"`
	WindowsUserConfiguration *WindowsUserConfiguration `json:"windowsUserConfiguration,omitempty"`
}

type LinuxUserConfiguration struct {
	UID           *int32 `json:"uid,omitempty"`
	GID           *int32 `json:"gid,omitempty"`
	SSHPrivateKey string `json:"sshPrivateKey,omitempty" batch:"secret"`
}

type WindowsUserConfiguration struct {
	LoginMode string `json:"loginMode,omitempty" batch:"enum=batch|interactive"`
}

type BatchPoolIdentity struct {
	Type                   string                 `json:"type,omitempty" batch:"required,enum=UserAssigned|None"`
	UserAssignedIdentities []UserAssignedIdentity `json:"userAssignedIdentities,omitempty"`
}

type UserAssignedIdentity struct {
	ResourceID  string `json:"resourceId,omitempty" batch:"required"`
	ClientID    string `json:"clientId,omitempty"`
	PrincipalID string `json:"principalId,omitempty"`
}

type PoolStatistics struct {
	URL            string              `json:"url" batch:"required"`
	StartTime      time.Time           `json:"startTime,omitzero" batch:"required"`
	LastUpdateTime time.Time           `json:"lastUpdateTime,omitzero" batch:"required"`
	UsageStats     *UsageStatistics    `json:"usageStats,omitempty"`
	ResourceStats  *ResourceStatistics `json:"resourceStats,omitempty"`
}

type UsageStatistics struct {
	StartTime         time.Time `json:"startTime,omitzero" batch:"required"`
	LastUpdateTime    time.Time `json:"lastUpdateTime,omitzero" batch:"required"`
	DedicatedCoreTime Duration  `json:"dedicatedCoreTime" batch:"required"`
}

type ResourceStatistics struct {
	StartTime        time.Time `json:"startTime,omitzero" batch:"required"`
	LastUpdateTime   time.Time `json:"lastUpdateTime,omitzero" batch:"required"`
	AvgCPUPercentage float64   `json:"avgCPUPercentage" batch:"required"`
	AvgMemoryGiB     float64   `json:"avgMemoryGiB" batch:"required"`
	PeakMemoryGiB    float64   `json:"peakMemoryGiB" batch:"required"`
	AvgDiskGiB       float64   `json:"avgDiskGiB" batch:"required"`
	PeakDiskGiB      float64   `json:"peakDiskGiB" batch:"required"`
	DiskReadIOps     int64     `json:"diskReadIOps,string" batch:"required"`
	DiskWriteIOps    int64     `json:"diskWriteIOps,string" batch:"required"`
	DiskReadGiB      float64   `json:"diskReadGiB" batch:"required"`
	DiskWriteGiB     float64   `json:"diskWriteGiB" batch:"required"`
	NetworkReadGiB   float64   `json:"networkReadGiB" batch:"required"`
	NetworkWriteGiB  float64   `json:"networkWriteGiB" batch:"required"`
}

type PoolNodeCounts struct {
	PoolID      string      `json:"poolId" batch:"required"`
	Dedicated   *NodeCounts `json:"dedicated,omitempty"`
	LowPriority *NodeCounts `json:"lowPriority,omitempty"`
}

type NodeCounts struct {
	Creating            int32 `json:"creating" batch:"required"`
	Idle                int32 `json:"idle" batch:"required"`
	Offline             int32 `json:"offline" batch:"required"`
	Preempted           int32 `json:"preempted" batch:"required"`
	Rebooting           int32 `json:"rebooting" batch:"required"`
	Reimaging           int32 `json:"reimaging" batch:"required"`
	Running             int32 `json:"running" batch:"required"`
	Starting            int32 `json:"starting" batch:"required"`
	StartTaskFailed     int32 `json:"startTaskFailed" batch:"required"`
	LeavingPool         int32 `json:"leavingPool" batch:"required"`
	Unknown             int32 `json:"unknown" batch:"required"`
	Unusable            int32 `json:"unusable" batch:"required"`
	WaitingForStartTask int32 `json:"waitingForStartTask" batch:"required"`
	UpgradingOS         int32 `json:"upgradingOS" batch:"required"`
	Deallocated         int32 `json:"deallocated" batch:"required"`
	Deallocating        int32 `json:"deallocating" batch:"required"`
	Total               int32 `json:"total" batch:"required"`
}

type PoolUsageMetrics struct {
	PoolID         string    `json:"poolId" batch:"required"`
	StartTime      time.Time `json:"startTime,omitzero" batch:"required"`
	EndTime        time.Time `json:"endTime,omitzero" batch:"required"`
	VMSize         string    `json:"vmSize" batch:"required"`
	TotalCoreHours float64   `json:"totalCoreHours" batch:"required"`
}
