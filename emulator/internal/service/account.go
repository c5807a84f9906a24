package service

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
	"github.com/clusterless-go/clusterless/emulator/internal/model"
	"github.com/clusterless-go/clusterless/emulator/internal/node"
	"github.com/clusterless-go/clusterless/emulator/internal/odata"
)

// A certificate is one that was added to the account. The service has retired certificates: nodes get none.
type certificate struct {
	Algorithm  string
	Thumbprint string
	State      phase
	PublicData string
}

func certKey(algorithm, thumbprint string) string {
	return strings.ToLower(algorithm + "-" + thumbprint)
}

func (s *Service) certificate(algorithm, thumbprint string) (*certificate, error) {
	c, ok := s.certs.get(certKey(algorithm, thumbprint))
	if !ok {
		return nil, apierror.New(apierror.CertificateNotFound)
	}
	return c, nil
}

// AddCertificate adds a certificate. Of one with a private key only the fact is kept.
func (s *Service) AddCertificate(ctx context.Context, c *model.CertificateAddParameter) error {
	return s.change(ctx, func() error {
		if !strings.EqualFold(c.ThumbprintAlgorithm, "sha1") {
			return apierror.Property("thumbprintAlgorithm", c.ThumbprintAlgorithm, "It must be sha1.")
		}
		data, err := base64.StdEncoding.DecodeString(c.Data)
		if err != nil {
			return apierror.Property("data", "", "It is no base64.")
		}
		public := ""
		if c.CertificateFormat == "cer" {
			public = c.Data
			if sum := sha1.Sum(data); !strings.EqualFold(hex.EncodeToString(sum[:]), c.Thumbprint) {
				return apierror.Property("thumbprint", c.Thumbprint, "It is not that of the certificate.")
			}
		}
		key := certKey(c.ThumbprintAlgorithm, c.Thumbprint)
		if old, ok := s.certs.get(key); ok {
			if old.State.State == deleting {
				return apierror.New(apierror.CertificateBeingDeleted)
			}
			return apierror.New(apierror.CertificateExists)
		}
		added := &certificate{Algorithm: c.ThumbprintAlgorithm, Thumbprint: c.Thumbprint,
			State: phase{State: active, Since: s.now()}, PublicData: public}
		s.certs.add(key, added)
		s.disk.put(certBucket, key, added)
		return nil
	})
}

// DeleteCertificate deletes a certificate that no pool uses; for one that is used the deletion fails, later.
func (s *Service) DeleteCertificate(ctx context.Context, algorithm, thumbprint string) error {
	return s.change(ctx, func() error {
		c, err := s.certificate(algorithm, thumbprint)
		if err != nil {
			return err
		}
		key := certKey(algorithm, thumbprint)
		for p := range s.pools.all() {
			for _, r := range p.Spec.CertificateReferences {
				if certKey(r.ThumbprintAlgorithm, r.Thumbprint) == key {
					c.State.set("deletefailed", s.now())
					s.disk.put(certBucket, key, c)
					return nil
				}
			}
		}
		s.certs.remove(key)
		s.disk.remove(certBucket, key)
		return nil
	})
}

// CancelCertificateDeletion makes a certificate active again whose deletion failed.
func (s *Service) CancelCertificateDeletion(ctx context.Context, algorithm, thumbprint string) error {
	return s.change(ctx, func() error {
		c, err := s.certificate(algorithm, thumbprint)
		if err != nil {
			return err
		}
		if c.State.State != "deletefailed" {
			return apierror.New(apierror.OperationInvalidForCurrentState)
		}
		c.State.set(active, s.now())
		s.disk.put(certBucket, certKey(algorithm, thumbprint), c)
		return nil
	})
}

func (s *Service) checkCertificates(refs []model.CertificateReference) error {
	for _, r := range refs {
		if _, err := s.certificate(r.ThumbprintAlgorithm, r.Thumbprint); err != nil {
			return apierror.Property("certificateReferences", r.Thumbprint, "The account has no such certificate.")
		}
	}
	return nil
}

func (s *Service) certificateView(base string, c *certificate) model.Certificate {
	m := model.Certificate{Thumbprint: c.Thumbprint, ThumbprintAlgorithm: c.Algorithm, PublicData: c.PublicData,
		URL:   fmt.Sprintf("%s/certificates(thumbprintAlgorithm=%s,thumbprint=%s)", base, c.Algorithm, c.Thumbprint),
		State: c.State.State, StateTransitionTime: c.State.Since.time(), PreviousState: c.State.Previous,
		PreviousStateTransitionTime: c.State.Before.time()}
	if c.State.State == "deletefailed" {
		m.DeleteCertificateError = &model.DeleteCertificateError{Code: "CertificateInUse",
			Message: "The certificate is used by a pool."}
	}
	return m
}

// Certificate returns one.
func (s *Service) Certificate(base, algorithm, thumbprint string) (*model.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.certificate(algorithm, thumbprint)
	if err != nil {
		return nil, err
	}
	m := s.certificateView(base, c)
	return &m, nil
}

var certificateFields = odata.Fields[*certificate]{
	"state":               odata.Text(func(c *certificate) string { return c.State.State }),
	"stateTransitionTime": odata.Time(func(c *certificate) time.Time { return c.State.Since.time() }),
}

// Certificates lists them.
func (s *Service) Certificates(base string, q odata.Query) ([]model.Certificate, string, error) {
	return list(s, q, certificateFields, &s.certs, func(c *certificate) model.Certificate { return s.certificateView(base, c) })
}

// An application is one whose packages tasks and nodes can have.
type application struct {
	ID       string
	Name     string
	Default  string
	Versions map[string]bool // there are packages of
}

// packageFile is where the package of a version is kept.
func (s *Service) packageFile(id, version string) string {
	return filepath.Join(s.opts.Dir, "packages", model.Key(id), version+".zip")
}

// AddPackage adds a version of an application, which is made if there is none of that ID. The real service has this in its
// management API.
func (s *Service) AddPackage(ctx context.Context, id, version string, makeDefault bool, zip io.Reader) error {
	if err := model.CheckID("applicationId", id); err != nil {
		return err
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if err := saveFile(s.packageFile(id, version), zip); err != nil {
		return fmt.Errorf("emulator: keep the package %s %s: %w", id, version, err)
	}
	return s.change(ctx, func() error {
		app, ok := s.apps.get(model.Key(id))
		if !ok {
			app = &application{ID: id, Versions: map[string]bool{}}
			s.apps.add(model.Key(id), app)
		}
		app.Versions[version] = true
		if makeDefault {
			app.Default = version
		}
		s.disk.put(appBucket, model.Key(id), app)
		return nil
	})
}

func checkVersion(v string) error {
	bad := strings.IndexFunc(v, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.", c))
	})
	if v == "" || len(v) > 64 || bad >= 0 || v == "." || v == ".." {
		return apierror.Property("version", v, "It must have 1 to 64 letters, digits, hyphens, underscores and periods.")
	}
	return nil
}

func saveFile(name string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = io.Copy(f, r)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// checkPackages checks that the account has the packages that something refers to.
func (s *Service) checkPackages(refs []model.ApplicationPackageReference) error {
	for _, r := range refs {
		app, ok := s.apps.get(model.Key(r.ApplicationID))
		version := r.Version
		if ok && version == "" {
			version = app.Default
		}
		if !ok || !app.Versions[version] {
			return apierror.New(apierror.InvalidApplicationPackageReferences).With(r.ApplicationID, r.Version)
		}
	}
	return nil
}

// packages are the files of what was checked.
func (s *Service) packages(refs []model.ApplicationPackageReference) (list []node.Package) {
	for _, r := range refs {
		app, ok := s.apps.get(model.Key(r.ApplicationID))
		if !ok {
			continue
		}
		p := node.Package{Application: app.ID, Version: r.Version, Default: r.Version == ""}
		if p.Default {
			p.Version = app.Default
		}
		p.Zip = s.packageFile(app.ID, p.Version)
		list = append(list, p)
	}
	return list
}

func (a *application) view() model.ApplicationSummary {
	versions := []string{}
	for v := range a.Versions {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	name := a.Name
	if name == "" {
		name = a.ID
	}
	return model.ApplicationSummary{ID: a.ID, DisplayName: name, Versions: versions}
}

// Application returns one.
func (s *Service) Application(id string) (*model.ApplicationSummary, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.apps.get(model.Key(id))
	if !ok {
		return nil, apierror.New(apierror.ApplicationNotFound)
	}
	m := a.view()
	return &m, nil
}

// Applications lists them.
func (s *Service) Applications(q odata.Query) ([]model.ApplicationSummary, string, error) {
	return list(s, q, odata.Fields[*application]{}, &s.apps, (*application).view)
}

// A usage is how long a pool had how many cores, in a row.
type usage struct {
	Pool  string
	Size  string
	Begun moment
	Ended moment
	Hours float64 // of a core, until Since
	Since moment
}

// startUsage counts from now on with the nodes that a pool has.
func (s *Service) startUsage(p *pool) {
	if p.usage == nil {
		p.usage = &usage{Pool: p.Spec.ID, Size: p.Spec.VMSize, Begun: s.now(), Since: s.now()}
		s.usage = append(s.usage, p.usage)
		return
	}
	p.usage.advance(s.now(), (p.nodes.len()-1)*p.cores)
}

// advance counts the cores that there were until now.
func (u *usage) advance(now moment, cores int) {
	u.Hours += float64(now-u.Since) / 36e9 * float64(cores)
	u.Since = now
}

func (s *Service) endUsage(p *pool) {
	if p.usage == nil {
		return
	}
	p.usage.Ended = s.now()
	s.disk.put(usageBucket, fmt.Sprintf("%020d\x00%s", p.usage.Begun, p.key), p.usage)
	p.usage = nil
}

var usageFields = odata.Fields[*usage]{"poolId": odata.Text(func(u *usage) string { return u.Pool })}

// Usage lists the core hours of pools between two times; zero times are no limit.
func (s *Service) Usage(q odata.Query, from, to time.Time) ([]model.PoolUsageMetrics, string, error) {
	match, err := usageFields.Filter(q.Filter)
	if err != nil {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	for p := range s.pools.all() {
		if p.usage != nil {
			p.usage.advance(now, p.nodes.len()*p.cores)
		}
	}
	var all ordered[*usage]
	for _, u := range s.usage {
		ended := u.Ended
		if ended == 0 {
			ended = now
		}
		if ended.time().After(from) && (to.IsZero() || u.Begun.time().Before(to)) {
			all.add(fmt.Sprintf("%020d-%s", u.Begun, u.Pool), u)
		}
	}
	page, after := odata.Page(q, all.from(q.After), match)
	out := make([]model.PoolUsageMetrics, len(page))
	for i, u := range page {
		ended := u.Ended
		if ended == 0 {
			ended = now
		}
		out[i] = model.PoolUsageMetrics{PoolID: u.Pool, StartTime: u.Begun.time(), EndTime: ended.time(),
			VMSize: u.Size, TotalCoreHours: u.Hours}
	}
	return out, after, nil
}
