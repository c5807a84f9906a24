package service

import (
	"errors"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// Files are those of a node or of a task. Close it after use.
type Files struct {
	tree *node.Tree // nil: simulated, with the files that every task has, empty
	made time.Time
	task bool
}

// TaskFiles opens the files of a task that ran, or runs.
func (s *Service) TaskFiles(jobID, taskID string) (*Files, error) {
	s.mu.Lock()
	t, err := s.task(jobID, taskID)
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	n := s.whereRan(t)
	job, id, cleaned, begun := t.job.Spec.ID, t.ID, t.Cleaned, t.Begun
	machine, simulated := n.where()
	s.mu.Unlock()
	switch {
	case cleaned:
		return nil, apierror.New(apierror.TaskFilesCleanedup)
	case n == nil || begun == 0:
		return nil, apierror.New(apierror.TaskFilesUnavailable)
	case simulated:
		return &Files{made: begun.time(), task: true}, nil
	}
	return filesOf(machine, func(m *node.Node) (*node.Tree, error) { return m.TaskFiles(job, id) }, apierror.TaskFilesUnavailable)
}

// where is the machine that a node is, which there may be none of yet; a simulated one has none.
func (n *compute) where() (machine *node.Node, simulated bool) {
	if n == nil {
		return nil, false
	}
	return n.machine, n.pool.sim != nil
}

// NodeFiles opens the files of a node.
func (s *Service) NodeFiles(poolID, nodeID string) (*Files, error) {
	s.mu.Lock()
	n, err := s.nodeInUse(poolID, nodeID)
	machine, simulated := n.where()
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if simulated {
		return &Files{made: n.Created.time()}, nil
	}
	return filesOf(machine, (*node.Node).Files, apierror.NodeNotFound)
}

func filesOf(machine *node.Node, open func(*node.Node) (*node.Tree, error), otherwise string) (*Files, error) {
	if machine == nil {
		return nil, apierror.New(otherwise)
	}
	tree, err := open(machine)
	if err != nil {
		return nil, fileError(err, otherwise)
	}
	return &Files{tree: tree}, nil
}

// fileError is how a failure of a tree is told.
func fileError(err error, missing string) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrInvalid):
		return apierror.New(missing)
	case errors.Is(err, node.ErrNotEmpty):
		return apierror.New(apierror.OperationInvalidForCurrentState).With("Reason", "The directory is not empty.")
	}
	return apierror.New(apierror.IOError).With("Reason", err.Error())
}

// Close gives the files back.
func (f *Files) Close() {
	if f.tree != nil {
		f.tree.Close()
	}
}

// A File is a file or directory.
type File = node.File

func (f *Files) simulated() []File {
	if !f.task {
		return nil
	}
	file := func(name string) File {
		return File{Name: name, Modified: f.made, Mode: 0o644, ContentType: "text/plain"}
	}
	return []File{file("stderr.txt"), file("stdout.txt"), {Name: "wd", Dir: true, Modified: f.made, Mode: fs.ModeDir | 0o755}}
}

var fileFields = odata.Fields[File]{"name": odata.Text(func(f File) string { return f.Name })}

// List lists files, those of directories below only when it is recursive.
func (f *Files) List(q odata.Query, recursive bool) ([]File, string, error) {
	match, err := fileFields.Filter(q.Filter)
	if err != nil {
		return nil, "", err
	}
	var all ordered[File]
	if f.tree == nil {
		for _, file := range f.simulated() {
			all.add(file.Name, file)
		}
	} else {
		for file, err := range f.tree.List("", recursive) {
			if err != nil {
				return nil, "", fileError(err, apierror.FileNotFound)
			}
			all.add(file.Name, file)
		}
	}
	page, after := odata.Page(q, all.from(q.After), match)
	return page, after, nil
}

// Stat describes one.
func (f *Files) Stat(name string) (File, error) {
	if f.tree == nil {
		for _, file := range f.simulated() {
			if file.Name == name {
				return file, nil
			}
		}
		return File{}, apierror.New(apierror.FileNotFound)
	}
	file, err := f.tree.Stat(name)
	if err != nil {
		return File{}, fileError(err, apierror.FileNotFound)
	}
	return file, nil
}

// Open opens one for reading.
func (f *Files) Open(name string) (io.ReadSeekCloser, File, error) {
	if f.tree == nil {
		file, err := f.Stat(name)
		return nothing{strings.NewReader("")}, file, err
	}
	r, file, err := f.tree.Open(name)
	if err != nil {
		return nil, File{}, fileError(err, apierror.FileNotFound)
	}
	return r, file, nil
}

type nothing struct{ *strings.Reader }

func (nothing) Close() error { return nil }

// Remove deletes one. A directory that is not empty is deleted only when it is recursive.
func (f *Files) Remove(name string, recursive bool) error {
	if f.tree == nil {
		_, err := f.Stat(name)
		return err
	}
	if err := f.tree.Remove(name, recursive); err != nil {
		return fileError(err, apierror.FileNotFound)
	}
	return nil
}

// UploadLogs pretends to upload the logs of a node's agent, of which there are none.
func (s *Service) UploadLogs(poolID, nodeID string) (*model.UploadBatchServiceLogsResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.nodeInUse(poolID, nodeID)
	if err != nil {
		return nil, err
	}
	dir := n.pool.Spec.ID + "/" + n.ID + "/" + n.Created.time().Format("20060102T150405")
	return &model.UploadBatchServiceLogsResult{VirtualDirectoryName: dir}, nil
}
