package node

import (
	"errors"
	"fmt"
	"syscall"
)

// A Failure is why a task failed, as failureInfo reports it.
type Failure struct {
	Category string // UserError or ServerError
	Code     string
	Message  string
	Details  []Variable
}

func (f *Failure) Error() string {
	s := f.Code + ": " + f.Message
	for _, d := range f.Details {
		s += fmt.Sprintf("; %s: %s", d.Name, d.Value)
	}
	return s
}

// The categories of failures.
const (
	UserError   = "UserError"
	ServerError = "ServerError"
)

// Codes of failures. The texts are those of Microsoft's page "Batch Status and Error Codes", of recordings of its tests
// and of its documentation of output files, unless it says "ours" here.
const (
	ApplicationPackageError       = "ApplicationPackageError"
	BlobAccessDenied              = "BlobAccessDenied"
	BlobDownloadMiscError         = "BlobDownloadMiscError"
	BlobDownloadTimedOut          = "BlobDownloadTimedOut"
	BlobNotFound                  = "BlobNotFound"
	CommandLaunchFailed           = "CommandLaunchFailed"
	CommandProgramNotFound        = "CommandProgramNotFound"
	ContainerInvalidImage         = "ContainerInvalidImage"
	ContainerPoolNotSupported     = "ContainerPoolNotSupported"
	DiskFull                      = "DiskFull"
	FailureExitCode               = "FailureExitCode"
	FileUploadAccessDenied        = "FileUploadAccessDenied"
	FileUploadContainerNotFound   = "FileUploadContainerNotFound"
	FileUploadMiscError           = "FileUploadMiscError"
	ResourceContainerAccessDenied = "ResourceContainerAccessDenied"
	ResourceDirectoryCreateFailed = "ResourceDirectoryCreateFailed"
	ResourceFileCreateFailed      = "ResourceFileCreateFailed"
	ResourceFileWriteFailed       = "ResourceFileWriteFailed"
	TaskEnded                     = "TaskEnded"
)

var messages = map[string]struct{ category, text string }{
	ApplicationPackageError:       {UserError, "One or more of the application packages that the task needs cannot be deployed"}, // text ours
	BlobAccessDenied:              {UserError, "Access for one of the specified Azure Blob(s) is denied"},
	BlobDownloadMiscError:         {ServerError, "Miscellaneous error encountered while downloading one of the specified Azure Blob(s)"},
	BlobDownloadTimedOut:          {ServerError, "Timeout encountered while downloading one of the specified Azure Blob(s)"},
	BlobNotFound:                  {UserError, "One of the specified Azure Blob(s) is not found"},
	CommandLaunchFailed:           {UserError, "Failed to launch the specified command line"},
	CommandProgramNotFound:        {UserError, "The specified command program is not found"},
	ContainerInvalidImage:         {UserError, "One or more container images specified are invalid"},
	ContainerPoolNotSupported:     {UserError, "The compute node does not support containers"}, // text ours
	DiskFull:                      {ServerError, "There is not enough disk space on the node that was selected to run the task"},
	FailureExitCode:               {UserError, "The task exited with an exit code representing a failure"},
	FileUploadAccessDenied:        {UserError, "Access for one of the specified Azure container(s) is denied while uploading an output file"}, // text ours
	FileUploadContainerNotFound:   {UserError, "One of the specified Azure container(s) was not found while attempting to upload an output file"},
	FileUploadMiscError:           {ServerError, "Miscellaneous error encountered while uploading one of the output files"}, // text ours
	ResourceContainerAccessDenied: {UserError, "Access for one of the specified Azure Blob container(s) is denied"},
	ResourceDirectoryCreateFailed: {ServerError, "Failure encountered creating resource directory for the task"},
	ResourceFileCreateFailed:      {ServerError, "Failure encountered creating resource file"},
	ResourceFileWriteFailed:       {ServerError, "Failure encountered writing resource file"},
	TaskEnded:                     {UserError, "Task Was Ended by User Request"},
}

// fail makes a Failure. The first detail, Message, says what happened.
func fail(code, message string, details ...Variable) *Failure {
	m := messages[code]
	return &Failure{Category: m.category, Code: code, Message: m.text, Details: append([]Variable{{"Message", message}}, details...)}
}

// failFile is fail for an error of the file system: a full disk has a code of its own.
func failFile(code string, err error, details ...Variable) *Failure {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		code = DiskFull
	}
	return fail(code, err.Error(), details...)
}
