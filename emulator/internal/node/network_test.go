//go:build linux

package node_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/node"
)

func TestNetworks(t *testing.T) {
	if !asRoot {
		t.Log("not root, or not with all rights: nodes share the network of the machine")
		return
	}
	service := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "from the machine") })
	other := server(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "not for nodes") })
	before := devices(t)
	s, err := node.NewNetworks(t.Context(), strings.TrimPrefix(service, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	var networks []*node.Network
	nodes := cluster(t, 2, func(_ int, c *node.Config) {
		if c.Network, err = s.Network(t.Context()); err != nil {
			t.Fatal(err)
		}
		networks = append(networks, c.Network)
	})
	for _, n := range networks {
		t.Cleanup(func() {
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if nodes[0].Address() == nodes[1].Address() || nodes[0].Address().IsLoopback() {
		t.Errorf("addresses: %s, %s", nodes[0].Address(), nodes[1].Address())
	}

	exe, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	tool := []node.ResourceFile{{HTTPURL: server(t, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(exe) }), FilePath: "http"}}

	// Both listen at one port; the one reaches the other at its address, the machine where that is forwarded, and no more.
	m := node.MultiInstance{
		CommonResourceFiles: tool,
		CoordinationCommandLine: `/bin/sh -c '$AZ_BATCH_TASK_SHARED_DIR/http serve 0.0.0.0:6000 "node $AZ_BATCH_IS_CURRENT_NODE_MASTER" >/dev/null 2>&1 &
			for i in $(seq 600); do $AZ_BATCH_TASK_SHARED_DIR/http get http://localhost:6000 && break; sleep 0.1; done'`,
	}
	task := shell("j", "t", `for url in http://$(echo $AZ_BATCH_HOST_LIST | sed "s/,/:6000 http:\/\//"):6000 `+service+" "+other+`; do ../http get $url || echo none; done`)
	task.Environment = []node.Variable{{Name: "NODE_TEST_HTTP", Value: "1"}, {Name: "GORACE", Value: "atexit_sleep_ms=0"}}
	r := node.RunInstances(t.Context(), nodes, task, m, nil)
	out, errs := output(t, nodes[0], task)
	if want := "node true\nnode true\nnode false\nfrom the machine\nnone\n"; r.Failure != nil || out != want {
		t.Errorf("got %v\n%s%s\nwant\n%s", r.Failure, out, errs, want)
	}
	if after := devices(t); after != before {
		t.Errorf("the machine's devices: got\n%s\nwant\n%s", after, before)
	}
}

// talk is the program of the task: it serves a text, or shows what is served.
func talk(args []string) error {
	if args[0] == "serve" {
		return http.ListenAndServe(args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, args[2]) }))
	}
	resp, err := http.Get(args[1])
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

func devices(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("ip", "-o", "link").Output()
	if err != nil {
		t.Fatalf("ip, of Debian's package iproute2: %v", err)
	}
	spaces, _ := os.ReadDir("/run/netns")
	return fmt.Sprintf("%s%v", out, spaces)
}
