package rest

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
	"github.com/clusterless-go/clusterless/emulator/internal/service"
)

func taskFileList(c *call) error   { return listFiles(c, c.s.TaskFiles) }
func taskFileGet(c *call) error    { return getFile(c, c.s.TaskFiles) }
func taskFileDelete(c *call) error { return deleteFile(c, c.s.TaskFiles) }
func nodeFileList(c *call) error   { return listFiles(c, c.s.NodeFiles) }
func nodeFileGet(c *call) error    { return getFile(c, c.s.NodeFiles) }
func nodeFileDelete(c *call) error { return deleteFile(c, c.s.NodeFiles) }

// opener opens the files of what the first two names in a path stand for.
type opener func(first, second string) (*service.Files, error)

func listFiles(c *call, open opener) error {
	q, err := plain.parse(c)
	if err != nil {
		return err
	}
	recursive, err := c.flag("recursive")
	if err != nil {
		return err
	}
	files, err := open(c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	defer files.Close()
	found, after, err := files.List(q, recursive)
	if err != nil {
		return err
	}
	items := make([]model.NodeFile, len(found))
	for i, f := range found {
		items[i] = model.NodeFile{Name: f.Name, URL: c.base + strings.TrimSuffix(c.r.URL.EscapedPath(),
			"/") + "/" + escape(f.Name), IsDirectory: &f.Dir}
		if !f.Dir {
			items[i].Properties = &model.FileProperties{LastModified: f.Modified.UTC(), CreationTime: f.Modified.UTC(),
				ContentLength: f.Size, ContentType: f.ContentType, FileMode: mode(f)}
		}
	}
	return pages(c, "files", q, items, after)
}

// escape escapes a name for a path, but leaves its slashes.
func escape(name string) string { return (&url.URL{Path: name}).EscapedPath() }

// mode is a file's mode as the service writes it, with the kind of file.
func mode(f service.File) string {
	kind := uint32(0o100000)
	if f.Dir {
		kind = 0o040000
	}
	return fmt.Sprintf("0o%o", kind|uint32(f.Mode.Perm()))
}

// getFile answers with a file, or for HEAD with what is known of it.
func getFile(c *call, open opener) error {
	conditions, err := c.conditions()
	if err != nil {
		return err
	}
	files, err := open(c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	defer files.Close()
	info, err := files.Stat(c.ids[2])
	if err != nil {
		return err
	}
	if err := conditions.Check(c.r.Method, odata.ETag(info.Modified), info.Modified); err != nil {
		return err
	}
	if info.Dir && c.r.Method == http.MethodGet {
		return apierror.New(apierror.FileNotFound)
	}
	h := c.w.Header()
	h.Set("Last-Modified", info.Modified.UTC().Format(http.TimeFormat))
	h.Set("ocp-creation-time", info.Modified.UTC().Format(http.TimeFormat))
	h.Set("ocp-batch-file-isdirectory", map[bool]string{true: "True", false: "False"}[info.Dir])
	h.Set("ocp-batch-file-url", url.QueryEscape(c.base+c.r.URL.EscapedPath()))
	h.Set("ocp-batch-file-mode", mode(info))
	kind := info.ContentType
	if kind == "" {
		kind = "application/octet-stream"
	}
	h.Set("Content-Type", kind)
	if c.r.Method == http.MethodHead {
		h.Set("Content-Length", strconv.FormatInt(info.Size, 10))
		c.w.WriteHeader(http.StatusOK)
		return nil
	}
	from, length, err := span(c.r.Header.Get("ocp-range"), info.Size)
	if err != nil {
		return err
	}
	r, _, err := files.Open(c.ids[2])
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Seek(from, io.SeekStart); err != nil {
		return apierror.New(apierror.IOError).With("Reason", err.Error())
	}
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	c.w.WriteHeader(http.StatusOK) // a part, too: clients take 206 for an error
	if _, err := io.CopyN(c.w, r, length); err != nil {
		panic(http.ErrAbortHandler) // the client went, or the file became shorter: it must not take this for all
	}
	return nil
}

// span is the part of a file that ocp-range asks for. A part that ends after the file ends with it.
func span(header string, size int64) (from, length int64, err error) {
	if header == "" {
		return 0, size, nil
	}
	first, last, ok := strings.Cut(strings.TrimPrefix(header, "bytes="), "-")
	bad := apierror.Header("ocp-range", header)
	if !ok || !strings.HasPrefix(header, "bytes=") {
		return 0, 0, bad
	}
	from, err = strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return 0, 0, bad
	}
	end := size - 1
	if last != "" {
		to, err := strconv.ParseInt(last, 10, 64)
		if err != nil || to < from {
			return 0, 0, bad
		}
		end = min(end, to)
	}
	if from >= size {
		return 0, 0, apierror.New(apierror.InvalidRange)
	}
	return from, end - from + 1, nil
}

func deleteFile(c *call, open opener) error {
	recursive, err := c.flag("recursive")
	if err != nil {
		return err
	}
	files, err := open(c.ids[0], c.ids[1])
	if err != nil {
		return err
	}
	defer files.Close()
	if err := files.Remove(c.ids[2], recursive); err != nil {
		return err
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}
