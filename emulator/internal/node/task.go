package node

import (
	"errors"
	"time"
)

// ErrTerminated is the cause to cancel the context of Run with when a user terminates the task: it has failed then, with
// the code TaskEnded, and its output files are uploaded. With any other cause the attempt does not count.
var ErrTerminated = errors.New("node: the task was terminated")

// A Kind is what a task is to its pool or job.
type Kind int

// The kinds of tasks.
const (
	KindTask        Kind = iota
	KindStart            // of the node; without job and id
	KindPreparation      // of a job, on each node that runs tasks of it
	KindRelease          // of a job, where it was prepared
)

// A Task is what is to be run: one attempt at it.
type Task struct {
	Kind          Kind
	Job, ID       string
	CommandLine   string
	Environment   []Variable // of several with one name the last counts; variables of the node's own win
	User          Identity
	ResourceFiles []ResourceFile
	OutputFiles   []OutputFile
	Packages      []Package     // of the task; those of the pool are in Config
	Container     *Container    // nil: it runs on the node itself
	MaxWallClock  time.Duration // 0: no limit; counted from the beginning of Run
	Preparation   string        // the id of the job's preparation task, if it has one
	AuthToken     string        // for AZ_BATCH_AUTHENTICATION_TOKEN

	// OnRunning is called when the process of the command line has been started; nil: nobody wants to know.
	OnRunning func(at time.Time)
}

// A Variable is one of an environment, or a header of an upload.
type Variable struct{ Name, Value string }

// A Scope says who shares an automatic user.
type Scope int

// The scopes of automatic users. The default is what Azure takes on Linux when nothing is said: a user of its own for
// start and release tasks, the pool's for others.
const (
	ScopeDefault Scope = iota
	ScopePool          // all tasks on the node that ask for it
	ScopeTask          // nobody
)

// An Identity is who a task runs as.
type Identity struct {
	UserName string // one of Config.Users; "": an automatic user
	Scope    Scope  // of an automatic user
	Admin    bool   // of an automatic user: root
}

// A User is one of the pool's userAccounts.
type User struct {
	Name     string
	Admin    bool // runs with all capabilities of root, as itself
	UID, GID int  // 0: the node finds some
}

// A ResourceFile is downloaded before a task runs. One of the three sources is set.
type ResourceFile struct {
	HTTPURL              string
	StorageContainerURL  string
	AutoStorageContainer string
	BlobPrefix           string // of blobs in a container
	FilePath             string // the file, or the directory when the source is a container; below the working directory
	FileMode             string // octal; "": 0770
	Identity             string // resource id of a managed identity to download with; "": as the URL is
}

// A Condition says after which outcome files are uploaded.
type Condition int

// The conditions of uploads. The default is completion.
const (
	OnCompletion Condition = iota
	OnSuccess
	OnFailure
)

// An OutputFile is uploaded after the process of a task ended.
type OutputFile struct {
	Pattern      string // see match
	ContainerURL string
	Path         string // of the blob, or what stands before its name when the pattern has wildcards
	Identity     string // as that of a ResourceFile
	Headers      []Variable
	Condition    Condition
}

// A Package is a version of an application.
type Package struct {
	Application, Version string
	Default              bool   // it was asked for without a version
	Zip                  string // a file on this machine
}

// A Container says how to run a task in a container.
type Container struct {
	Image          string
	RunOptions     string
	InImage        bool    // works in the directory that the image names, not in the task's
	Mounts         []Mount // nil: the whole tree of the node
	MountsSelected bool    // Mounts counts, also when it is empty
	Registry       *Registry
}

// A Mount is a part of the tree that a container gets: Shared, Startup, VfsMounts, Task, JobPrep or Applications.
type Mount struct {
	Source   string
	ReadOnly bool
}

// A Registry is where images come from, with who asks for them.
type Registry struct{ Server, User, Password string }

// A Result is what came of an attempt.
type Result struct {
	Started, Ended time.Time
	Process        bool     // there was a process: ExitCode counts
	ExitCode       int      // 128 and the number of the signal when one ended it
	Failure        *Failure // nil: success
	Container      *ContainerInfo
	Retriable      bool // the process ended by itself with another code than 0: the one failure that Azure retries
	Lost           bool // the attempt was cut short by something that is not the task's fault: it does not count
}

// A ContainerInfo is what the container runtime says of a task's container.
type ContainerInfo struct{ ID, State, Error string }
