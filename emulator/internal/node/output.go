package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"path"
	"strings"
)

// upload sends the output files of an attempt whose process ended. It tells about it in fileuploadout.txt and
// fileuploaderr.txt, which are there when it was tried. The error is a *Failure, or that of the context.
func (a *attempt) upload(ctx context.Context, success bool) error {
	var due []OutputFile
	for _, f := range a.t.OutputFiles {
		if f.Condition == OnCompletion || (f.Condition == OnSuccess) == success {
			due = append(due, f)
		}
	}
	if len(due) == 0 {
		return nil
	}
	out, err := a.dir.create("fileuploadout.txt", 0o644)
	if err != nil {
		return failFile(FileUploadMiscError, err)
	}
	defer out.Close()
	errs, err := a.dir.create("fileuploaderr.txt", 0o644)
	if err != nil {
		return failFile(FileUploadMiscError, err)
	}
	defer errs.Close()
	for _, f := range due {
		if err := a.uploadAll(ctx, f, out); err != nil {
			fmt.Fprintln(errs, err)
			return err
		}
	}
	return nil
}

// uploadAll sends what a pattern matches. That nothing does is no failure.
func (a *attempt) uploadAll(ctx context.Context, f OutputFile, out *os.File) error {
	detail := Variable{"FilePattern", f.Pattern}
	p, ok := parsePattern(f.Pattern, a.seen(), a.getenv)
	if !ok {
		return fail(FileUploadMiscError, "the pattern leads out of the task's directory, where all files must be that are uploaded", detail)
	}
	names, err := p.files(a.dir.root.FS())
	if err != nil {
		return fail(FileUploadMiscError, err.Error(), detail)
	}
	if len(names) == 0 {
		fmt.Fprintf(out, "%s: no files\n", f.Pattern)
	}
	header := http.Header{}
	for _, h := range f.Headers {
		if name := textproto.CanonicalMIMEHeaderKey(h.Name); !reserved[name] {
			header.Set(name, h.Value)
		}
	}
	for _, name := range names {
		blob := p.blob(name, f.Path)
		to, err := blobURL(f.ContainerURL, blob)
		if err != nil {
			return fail(FileUploadMiscError, err.Error(), detail)
		}
		fmt.Fprintf(out, "%s: upload %s to %s\n", f.Pattern, name, shown(to))
		if err := a.uploadFile(ctx, name, to, f.Identity, header); err != nil {
			return uploadFailure(err, Variable{"FilePath", name}, Variable{"Destination", shown(to)})
		}
	}
	return nil
}

// reserved are the headers that an upload sets itself.
var reserved = map[string]bool{
	"Authorization": true, "Connection": true, "Content-Length": true, "Host": true, "Transfer-Encoding": true,
	"X-Ms-Blob-Type": true, "X-Ms-Version": true,
}

// blob is the name of a file's blob: of a single file the path that was asked for, else what wildcards matched, below it.
func (p pattern) blob(name, as string) string {
	if p.single {
		if as != "" {
			return as
		}
		return path.Base(name)
	}
	if p.base != "." {
		name = strings.TrimPrefix(name, p.base+"/")
	}
	return path.Join(as, name)
}

func (a *attempt) uploadFile(ctx context.Context, name, to, identity string, header http.Header) error {
	file, err := a.dir.root.OpenFile(name, os.O_RDONLY|nonBlocking, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is no file any more", name)
	}
	return a.n.put(ctx, to, identity, header, file, st.Size())
}

func uploadFailure(err error, details ...Variable) error {
	var b *blobError
	code := FileUploadMiscError
	if errors.As(err, &b) {
		switch b.status {
		case http.StatusNotFound:
			code = FileUploadContainerNotFound
		case http.StatusUnauthorized, http.StatusForbidden:
			code = FileUploadAccessDenied
		}
	}
	return fail(code, err.Error(), details...)
}

// getenv is a variable of the task's process.
func (a *attempt) getenv(name string) string {
	for _, v := range a.env {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			return rest
		}
	}
	return ""
}
