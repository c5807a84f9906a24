package model

import (
	"encoding/json"
)

// What the machines of a pool are: images, disks, networks, mounts.

type VirtualMachineConfiguration struct {
	ImageReference              *ImageReference              `json:"imageReference,omitempty" batch:"required"`
	NodeAgentSKUID              string                       `json:"nodeAgentSKUId,omitempty" batch:"required"`
	WindowsConfiguration        *WindowsConfiguration        `json:"windowsConfiguration,omitempty"`
	DataDisks                   []DataDisk                   `json:"dataDisks,omitempty"`
	LicenseType                 string                       `json:"licenseType,omitempty"`
	ContainerConfiguration      *ContainerConfiguration      `json:"containerConfiguration,omitempty"`
	DiskEncryptionConfiguration *DiskEncryptionConfiguration `json:"diskEncryptionConfiguration,omitempty"`
	NodePlacementConfiguration  *NodePlacementConfiguration  `json:"nodePlacementConfiguration,omitempty"`
	Extensions                  []VMExtension                `json:"extensions,omitempty"`
	OSDisk                      *OSDisk                      `json:"osDisk,omitempty"`
	SecurityProfile             *SecurityProfile             `json:"securityProfile,omitempty"`
	ServiceArtifactReference    *ServiceArtifactReference    `json:"serviceArtifactReference,omitempty"`
}

type ImageReference struct {
	Publisher               string `json:"publisher,omitempty"`
	Offer                   string `json:"offer,omitempty"`
	SKU                     string `json:"sku,omitempty"`
	Version                 string `json:"version,omitempty"`
	VirtualMachineImageID   string `json:"virtualMachineImageId,omitempty"`
	ExactVersion            string `json:"exactVersion,omitempty"`
	SharedGalleryImageID    string `json:"sharedGalleryImageId,omitempty"`
	CommunityGalleryImageID string `json:"communityGalleryImageId,omitempty"`
}

type WindowsConfiguration struct {
	EnableAutomaticUpdates *bool `json:"enableAutomaticUpdates,omitempty"`
}

type DataDisk struct {
	Lun                *int32 `json:"lun,omitempty" batch:"required"`
	Caching            string `json:"caching,omitempty" batch:"enum=none|readonly|readwrite"`
	DiskSizeGB         *int32 `json:"diskSizeGB,omitempty" batch:"required"`
	StorageAccountType string `json:"storageAccountType,omitempty" batch:"enum=standard_lrs|premium_lrs|standardssd_lrs"`
}

type ContainerConfiguration struct {
	Type                string              `json:"type,omitempty" batch:"required,enum=dockerCompatible|criCompatible"`
	ContainerImageNames []string            `json:"containerImageNames,omitempty"`
	ContainerRegistries []ContainerRegistry `json:"containerRegistries,omitempty"`
}

type ContainerRegistry struct {
	Username          string                        `json:"username,omitempty"`
	Password          string                        `json:"password,omitempty" batch:"secret"`
	RegistryServer    string                        `json:"registryServer,omitempty"`
	IdentityReference *ComputeNodeIdentityReference `json:"identityReference,omitempty"`
}

type DiskEncryptionConfiguration struct {
	Targets []string `json:"targets,omitempty" batch:"enum=osdisk|temporarydisk"`
}

type NodePlacementConfiguration struct {
	Policy string `json:"policy,omitempty" batch:"enum=regional|zonal"`
}

type VMExtension struct {
	Name                     string          `json:"name,omitempty" batch:"required"`
	Publisher                string          `json:"publisher,omitempty" batch:"required"`
	Type                     string          `json:"type,omitempty" batch:"required"`
	TypeHandlerVersion       string          `json:"typeHandlerVersion,omitempty"`
	AutoUpgradeMinorVersion  *bool           `json:"autoUpgradeMinorVersion,omitempty"`
	EnableAutomaticUpgrade   *bool           `json:"enableAutomaticUpgrade,omitempty"`
	Settings                 json.RawMessage `json:"settings,omitempty"`
	ProtectedSettings        json.RawMessage `json:"protectedSettings,omitempty" batch:"secret"`
	ProvisionAfterExtensions []string        `json:"provisionAfterExtensions,omitempty"`
}

type OSDisk struct {
	EphemeralOSDiskSettings *DiffDiskSettings `json:"ephemeralOSDiskSettings,omitempty"`
	Caching                 string            `json:"caching,omitempty" batch:"enum=none|readonly|readwrite"`
	ManagedDisk             *ManagedDisk      `json:"managedDisk,omitempty"`
	DiskSizeGB              *int32            `json:"diskSizeGB,omitempty"`
	WriteAcceleratorEnabled *bool             `json:"writeAcceleratorEnabled,omitempty"`
}

type DiffDiskSettings struct {
	Placement string `json:"placement,omitempty" batch:"enum=CacheDisk"`
}

type ManagedDisk struct {
	StorageAccountType string                 `json:"storageAccountType,omitempty" batch:"enum=standard_lrs|premium_lrs|standardssd_lrs"`
	SecurityProfile    *VMDiskSecurityProfile `json:"securityProfile,omitempty"`
}

type VMDiskSecurityProfile struct {
	SecurityEncryptionType string `json:"securityEncryptionType,omitempty" batch:"enum=NonPersistedTPM|VMGuestStateOnly"`
}

type SecurityProfile struct {
	SecurityType     string        `json:"securityType,omitempty" batch:"enum=trustedLaunch|confidentialVM"`
	EncryptionAtHost *bool         `json:"encryptionAtHost,omitempty"`
	UEFISettings     *UEFISettings `json:"uefiSettings,omitempty"`
}

type UEFISettings struct {
	SecureBootEnabled *bool `json:"secureBootEnabled,omitempty"`
	VTPMEnabled       *bool `json:"vTpmEnabled,omitempty"`
}

type ServiceArtifactReference struct {
	ID string `json:"id,omitempty" batch:"required"`
}

type NetworkConfiguration struct {
	SubnetID                     string                        `json:"subnetId,omitempty"`
	DynamicVNetAssignmentScope   string                        `json:"dynamicVNetAssignmentScope,omitempty" batch:"enum=none|job"`
	EndpointConfiguration        *PoolEndpointConfiguration    `json:"endpointConfiguration,omitempty"`
	PublicIPAddressConfiguration *PublicIPAddressConfiguration `json:"publicIPAddressConfiguration,omitempty"`
	EnableAcceleratedNetworking  *bool                         `json:"enableAcceleratedNetworking,omitempty"`
}

type PoolEndpointConfiguration struct {
	InboundNATPools []InboundNATPool `json:"inboundNATPools" batch:"required"`
}

type InboundNATPool struct {
	Name                      string                     `json:"name,omitempty" batch:"required"`
	Protocol                  string                     `json:"protocol,omitempty" batch:"required,enum=tcp|udp"`
	BackendPort               *int32                     `json:"backendPort,omitempty" batch:"required"`
	FrontendPortRangeStart    *int32                     `json:"frontendPortRangeStart,omitempty" batch:"required"`
	FrontendPortRangeEnd      *int32                     `json:"frontendPortRangeEnd,omitempty" batch:"required"`
	NetworkSecurityGroupRules []NetworkSecurityGroupRule `json:"networkSecurityGroupRules,omitempty"`
}

type NetworkSecurityGroupRule struct {
	Priority            *int32   `json:"priority,omitempty" batch:"required"`
	Access              string   `json:"access,omitempty" batch:"required,enum=allow|deny"`
	SourceAddressPrefix string   `json:"sourceAddressPrefix,omitempty" batch:"required"`
	SourcePortRanges    []string `json:"sourcePortRanges,omitempty"`
}

type PublicIPAddressConfiguration struct {
	Provision    string   `json:"provision,omitempty" batch:"enum=batchmanaged|usermanaged|nopublicipaddresses"`
	IPAddressIDs []string `json:"ipAddressIds,omitempty"`
}

type MountConfiguration struct {
	AzureBlobFileSystemConfiguration *AzureBlobFileSystemConfiguration `json:"azureBlobFileSystemConfiguration,omitempty"`
	NfsMountConfiguration            *NFSMountConfiguration            `json:"nfsMountConfiguration,omitempty"`
	CifsMountConfiguration           *CIFSMountConfiguration           `json:"cifsMountConfiguration,omitempty"`
	AzureFileShareConfiguration      *AzureFileShareConfiguration      `json:"azureFileShareConfiguration,omitempty"`
}

type AzureBlobFileSystemConfiguration struct {
	AccountName       string                        `json:"accountName,omitempty" batch:"required"`
	ContainerName     string                        `json:"containerName,omitempty" batch:"required"`
	AccountKey        string                        `json:"accountKey,omitempty" batch:"secret"`
	SasKey            string                        `json:"sasKey,omitempty" batch:"secret"`
	BlobfuseOptions   string                        `json:"blobfuseOptions,omitempty"`
	RelativeMountPath string                        `json:"relativeMountPath,omitempty" batch:"required"`
	IdentityReference *ComputeNodeIdentityReference `json:"identityReference,omitempty"`
}

type NFSMountConfiguration struct {
	Source            string `json:"source,omitempty" batch:"required"`
	RelativeMountPath string `json:"relativeMountPath,omitempty" batch:"required"`
	MountOptions      string `json:"mountOptions,omitempty"`
}

type CIFSMountConfiguration struct {
	Username          string `json:"username,omitempty" batch:"required"`
	Source            string `json:"source,omitempty" batch:"required"`
	RelativeMountPath string `json:"relativeMountPath,omitempty" batch:"required"`
	MountOptions      string `json:"mountOptions,omitempty"`
	Password          string `json:"password,omitempty" batch:"required,secret"`
}

type AzureFileShareConfiguration struct {
	AccountName       string `json:"accountName,omitempty" batch:"required"`
	AzureFileURL      string `json:"azureFileUrl,omitempty" batch:"required"`
	AccountKey        string `json:"accountKey,omitempty" batch:"required,secret"`
	RelativeMountPath string `json:"relativeMountPath,omitempty" batch:"required"`
	MountOptions      string `json:"mountOptions,omitempty"`
}

type UpgradePolicy struct {
	Mode                     string                    `json:"mode,omitempty" batch:"required,enum=automatic|manual|rolling"`
	AutomaticOSUpgradePolicy *AutomaticOSUpgradePolicy `json:"automaticOSUpgradePolicy,omitempty"`
	RollingUpgradePolicy     *RollingUpgradePolicy     `json:"rollingUpgradePolicy,omitempty"`
}

type AutomaticOSUpgradePolicy struct {
	DisableAutomaticRollback *bool `json:"disableAutomaticRollback,omitempty"`
	EnableAutomaticOSUpgrade *bool `json:"enableAutomaticOSUpgrade,omitempty"`
	UseRollingUpgradePolicy  *bool `json:"useRollingUpgradePolicy,omitempty"`
	OSRollingUpgradeDeferral *bool `json:"osRollingUpgradeDeferral,omitempty"`
}

type RollingUpgradePolicy struct {
	EnableCrossZoneUpgrade                *bool     `json:"enableCrossZoneUpgrade,omitempty"`
	MaxBatchInstancePercent               *int32    `json:"maxBatchInstancePercent,omitempty"`
	MaxUnhealthyInstancePercent           *int32    `json:"maxUnhealthyInstancePercent,omitempty"`
	MaxUnhealthyUpgradedInstancePercent   *int32    `json:"maxUnhealthyUpgradedInstancePercent,omitempty"`
	PauseTimeBetweenBatches               *Duration `json:"pauseTimeBetweenBatches,omitempty"`
	PrioritizeUnhealthyInstances          *bool     `json:"prioritizeUnhealthyInstances,omitempty"`
	RollbackFailedInstancesOnPolicyBreach *bool     `json:"rollbackFailedInstancesOnPolicyBreach,omitempty"`
}

type ComputeNodeIdentityReference struct {
	ResourceID string `json:"resourceId,omitempty"`
}
