package model

import (
	"time"
)

// Files, and what belongs to the account: images, applications, certificates.

type NodeFile struct {
	Name        string          `json:"name,omitempty"`
	URL         string          `json:"url,omitempty"`
	IsDirectory *bool           `json:"isDirectory,omitempty"`
	Properties  *FileProperties `json:"properties,omitempty"`
}

type FileProperties struct {
	CreationTime  time.Time `json:"creationTime,omitzero"`
	LastModified  time.Time `json:"lastModified,omitzero" batch:"required"`
	ContentLength int64     `json:"contentLength,string" batch:"required"`
	ContentType   string    `json:"contentType,omitempty"`
	FileMode      string    `json:"fileMode,omitempty"`
}

type ImageInformation struct {
	NodeAgentSKUID        string          `json:"nodeAgentSKUId" batch:"required"`
	ImageReference        *ImageReference `json:"imageReference,omitempty" batch:"required"`
	OSType                string          `json:"osType" batch:"required,enum=linux|windows"`
	Capabilities          []string        `json:"capabilities,omitempty"`
	BatchSupportEndOfLife time.Time       `json:"batchSupportEndOfLife,omitzero"`
	VerificationType      string          `json:"verificationType" batch:"required,enum=verified|unverified"`
}

type ApplicationSummary struct {
	ODataMetadata string   `json:"odata.metadata,omitempty"`
	ID            string   `json:"id" batch:"required"`
	DisplayName   string   `json:"displayName" batch:"required"`
	Versions      []string `json:"versions" batch:"required"`
}

type Certificate struct {
	ODataMetadata               string                  `json:"odata.metadata,omitempty"`
	Thumbprint                  string                  `json:"thumbprint,omitempty"`
	ThumbprintAlgorithm         string                  `json:"thumbprintAlgorithm,omitempty"`
	URL                         string                  `json:"url,omitempty"`
	State                       string                  `json:"state,omitempty" batch:"enum=active|deleting|deletefailed"`
	StateTransitionTime         time.Time               `json:"stateTransitionTime,omitzero"`
	PreviousState               string                  `json:"previousState,omitempty" batch:"enum=active|deleting|deletefailed"`
	PreviousStateTransitionTime time.Time               `json:"previousStateTransitionTime,omitzero"`
	PublicData                  string                  `json:"publicData,omitempty"`
	DeleteCertificateError      *DeleteCertificateError `json:"deleteCertificateError,omitempty"`
}

type CertificateAddParameter struct {
	Thumbprint          string `json:"thumbprint,omitempty" batch:"required"`
	ThumbprintAlgorithm string `json:"thumbprintAlgorithm,omitempty" batch:"required"`
	Data                string `json:"data,omitempty" batch:"required"`
	CertificateFormat   string `json:"certificateFormat,omitempty" batch:"enum=pfx|cer"`
	Password            string `json:"password,omitempty"`
}

type DeleteCertificateError struct {
	Code    string          `json:"code,omitempty"`
	Message string          `json:"message,omitempty"`
	Values  []NameValuePair `json:"values,omitempty"`
}
