//go:build linux

package azbatch_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/engine/enginetest"
)

// runtimes puts commands for containers before others: the emulator's script that is one, or some that do not work.
func runtimes(t *testing.T, script string) {
	t.Helper()
	bin := shared(t)
	for _, name := range []string{"docker", "podman", "nerdctl"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("FAKE_DOCKER", t.TempDir())
}

// A poolRequest keeps what was asked for of a pool: the service does not tell passwords again.
type poolRequest struct{ body string }

func (p *poolRequest) Do(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPost && req.URL.Path == "/pools" {
		b, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		p.body, req.Body = string(b), io.NopCloser(bytes.NewReader(b))
	}
	return http.DefaultClient.Do(req)
}

// Tasks of a pool with a container run in it, with the program that their node has fetched. The password of the registry goes
// to the service, and nowhere else.
func TestContainer(t *testing.T) {
	script, err := os.ReadFile("../../emulator/internal/node/testdata/docker")
	if err != nil {
		t.Fatal(err)
	}
	runtimes(t, string(script))
	t.Setenv(azbatch.RegistryPassword, "hushhush")
	a := start(t, emulator.Options{})
	sent := &poolRequest{}
	e := a.open(t, func(c *azbatch.Config) { c.Transport = sent })
	spec := azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Container: "here", ContainerOptions: "--shm-size 1g", Registry: "my.azurecr.io", RegistryUser: "me"}
	if _, err := e.CreatePool(t.Context(), "p", spec); err != nil {
		t.Fatal(err)
	}
	p, err := a.client.GetPool(t.Context(), "p", nil)
	if err != nil {
		t.Fatal(err)
	}
	c := p.VirtualMachineConfiguration.ContainerConfiguration
	if r := c.ContainerRegistries[0]; c.ContainerImageNames[0] != "here" || *r.RegistryServer != "my.azurecr.io" || *r.Username != "me" || !strings.Contains(sent.body, `"password":"hushhush"`) {
		t.Errorf("the pool's containers: %+v", c)
	}
	for _, m := range p.Metadata {
		if strings.Contains(*m.Value, "hushhush") {
			t.Errorf("the password is in the metadata %s", *m.Name)
		}
	}
	j := job("j", 3, "/proc/1/exe", "word")
	j.Program, _ = program(t, "#!/bin/sh\necho program $1 $CLUSTERLESS_TASK\n")
	other := a.open(t) // which has only the pool's name
	submit(t, other, j)
	for r, ev := range enginetest.Wait(t, other, j.ID, 3) {
		if ev.Cause != "" {
			t.Errorf("%v: %+v", r, ev)
		}
	}
	if log := enginetest.Log(t, other, j.ID, engine.Run{Task: 1, Attempt: 1}); log != "program word 1\n" {
		t.Errorf("the program said %q", log)
	}
	jobs, err := other.BatchJobs(t.Context())
	if err != nil || len(jobs) != 1 || jobs[0].Job != "j" || jobs[0].Pool != "p" {
		t.Fatalf("jobs: %+v, %v", jobs, err)
	}
	for pages := a.client.NewListTasksPager(jobs[0].Batch, nil); pages.More(); {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range page.Value {
			s := task.ContainerSettings
			if *s.ImageName != "here" || *s.ContainerRunOptions != "--shm-size 1g" || s.Registry != nil || *task.ExecutionInfo.ContainerInfo.State != "exited" {
				t.Errorf("task %s: %+v, %+v", *task.ID, s, task.ExecutionInfo.ContainerInfo)
			}
		}
	}
}

// What the service says of a container that cannot be made reaches the user.
func TestContainerFails(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"no runtime": {"#!/bin/sh\necho cannot connect >&2\nexit 1\n", "ContainerPoolNotSupported"},
		"no image":   {"", "ContainerInvalidImage"},
	} {
		t.Run(name, func(t *testing.T) {
			if test.script == "" {
				b, err := os.ReadFile("../../emulator/internal/node/testdata/docker")
				if err != nil {
					t.Fatal(err)
				}
				test.script = string(b)
			}
			runtimes(t, test.script)
			a := start(t, emulator.Options{})
			e := a.open(t, func(c *azbatch.Config) {
				c.Make = azbatch.PoolSpec{VMSize: "Standard_D2s_v5", Nodes: 1, Container: "my.azurecr.io/none:1"}
			})
			submit(t, e, job("j", 1, "true"))
			for r, ev := range enginetest.Wait(t, e, "j", 1) {
				if ev.Cause != engine.CauseNotStarted || !strings.Contains(fmt.Sprint(ev.Reason), test.want) {
					t.Errorf("%v: %+v, want it not started, with %s", r, ev, test.want)
				}
			}
		})
	}
}
