package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/keeper"
)

// A Config is what a node is made of.
type Config struct {
	ID  string // see NewID
	Dir string // of this node alone; made if there is none. The tree of AZ_BATCH_NODE_ROOT_DIR is "root" in it
	// MountPoint is where tasks see the tree, the same on all nodes: /mnt/batch/tasks on Azure. It is made if there is none,
	// and stays empty for all but tasks. It needs root with CAP_SYS_ADMIN; without, tasks see the tree where it lies.
	MountPoint string
	Address    netip.Addr // see LoopbackAddress; of a node with a Network, the Network's
	Network    *Network   // nil: that of the machine; closed with the node

	Account, AccountURL, Pool string
	Dedicated                 bool
	Users                     []User    // the pool's
	Packages                  []Package // the pool's

	// Token gets a token of a managed identity, by its resource id, for storage; nil: there is no identity.
	Token func(ctx context.Context, identity string) (string, error)
	// AutoStorage gives the URL of a container of the account's storage, with a signature that lets read and list; nil: the
	// account has no storage.
	AutoStorage func(ctx context.Context, container string) (string, error)
	// Stall is for how long a download or an upload may make no progress; 0: two minutes.
	Stall time.Duration
	// RetryWait is the wait before the second try at a download or upload, which doubles with each; 0: 200 ms.
	RetryWait time.Duration
	Now       func() time.Time // for times in results; nil: time.Now
	Log       *slog.Logger     // nil: none
}

// A Node is a node that is on. It may be used by several goroutines.
type Node struct {
	c      Config
	root   bool     // tasks have users of their own
	view   bool     // tasks see the tree at MountPoint
	home   *os.Root // Dir
	tree   *os.Root // Dir/root
	lock   *os.File
	client *http.Client

	mu    sync.Mutex
	life  *life // nil: the node is off
	idle  []*keeper.Keeper
	left  map[string][]*keeper.Keeper // of processes that outlive their task, by the job, "" for those of the start task
	aside int                         // directories that were set aside

	installing sync.Mutex
}

// A life is the time between two boots.
type life struct {
	ctx  context.Context
	end  context.CancelFunc
	runs sync.WaitGroup
}

// maxIdle is how many keepers wait for the next command on a node. One takes some 10 ms to start, and a few megabytes.
const maxIdle = 8

// directories of the tree, with their modes. Everybody may write in shared; the tasks' own are made with the tasks.
var directories = []struct {
	name string
	mode fs.FileMode
}{
	{"startup", 0o755}, {"shared", 0o777}, {"fsmounts", 0o755}, {"applications", 0o755},
	{"volatile", 0o755}, {"volatile/startup", 0o755}, {"workitems", 0o755},
}

// Open makes a node, or reopens one in whose directory another was, which it waits for: while an emulator has the node, or
// processes of one that died are being ended, until the context is done. What these left in the tree is still there.
func Open(ctx context.Context, c Config) (*Node, error) {
	if c.Stall <= 0 {
		c.Stall = 2 * time.Minute
	}
	if c.RetryWait <= 0 {
		c.RetryWait = 200 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Network != nil {
		c.Address = c.Network.Address
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	c.Dir = dir
	n := &Node{c: c, left: map[string][]*keeper.Keeper{}, client: &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}}
	n.root, n.view = privileges()
	if c.MountPoint == "" {
		n.view = false
	}
	if err := n.open(ctx); err != nil {
		n.close()
		return nil, fmt.Errorf("node: open %s in %s: %w", c.ID, c.Dir, err)
	}
	n.boot()
	if err := n.try(); err != nil {
		n.Close()
		return nil, fmt.Errorf("node: open %s in %s: %w", c.ID, c.Dir, err)
	}
	return n, nil
}

// try starts the first keeper: what does not work on this machine is to be known before there is a task.
func (n *Node) try() error {
	k, err := n.keeper()
	if err != nil {
		if n.view {
			err = fmt.Errorf("%w (with a mount point, which some containers do not allow: without one, tasks see the tree where it lies)", err)
		}
		return err
	}
	return n.release(k)
}

func (n *Node) open(ctx context.Context) error {
	for _, dir := range []string{n.c.Dir, filepath.Join(n.c.Dir, "root"), n.scratch()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if n.view {
		if err := os.MkdirAll(n.c.MountPoint, 0o755); err != nil {
			return fmt.Errorf("make the mount point of the tree: %w", err)
		}
	} else if n.root {
		if err := passable(n.c.Dir); err != nil {
			return err
		}
	}
	reopened, err := n.takeLock(ctx)
	if err != nil {
		return err
	}
	if reopened {
		keeper.Sweep("AZ_BATCH_NODE_ID=" + n.c.ID)
		n.removeContainers(ctx)
	}
	if n.home, err = os.OpenRoot(n.c.Dir); err != nil {
		return err
	}
	if n.tree, err = n.home.OpenRoot("root"); err != nil {
		return err
	}
	if err := clear(n.home, asideDir); err != nil {
		return err
	}
	if err := n.home.Mkdir(asideDir, 0o700); err != nil {
		return err
	}
	return n.grow()
}

// grow makes the directories of the tree.
func (n *Node) grow() error {
	all := place{root: n.tree, uid: -1}
	for _, d := range directories {
		if err := all.mkdir(d.name, d.mode); err != nil {
			return err
		}
	}
	return nil
}

// passable says whether other users can reach a directory: tasks run as such.
func passable(dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if st.Mode()&0o001 == 0 {
			return fmt.Errorf("tasks run as users of their own, who may not pass %s (%v): "+
				"choose another directory for the emulator, or give it a mount point", dir, st.Mode())
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// scratch is where the view of a keeper has its memory mounted, out of sight of everybody else.
func (n *Node) scratch() string { return filepath.Join(n.c.Dir, "etc") }

// ID is the node's id.
func (n *Node) ID() string { return n.c.ID }

// Address is what the node's processes listen at, if they listen for processes of other nodes.
func (n *Node) Address() netip.Addr { return n.c.Address }

// RootDir is AZ_BATCH_NODE_ROOT_DIR: where tasks see the tree.
func (n *Node) RootDir() string {
	if n.view {
		return n.c.MountPoint
	}
	return filepath.Join(n.c.Dir, "root")
}

// Hostname is the name of the machine that tasks see, when the node has a mount point; else they see the machine's.
func (n *Node) Hostname() string { return hostname(n.c.ID) }

func (n *Node) boot() {
	ctx, cancel := context.WithCancel(context.Background())
	n.mu.Lock()
	n.life = &life{ctx: ctx, end: cancel}
	n.mu.Unlock()
}

// shutdown ends all processes. Runs that were under way are lost.
func (n *Node) shutdown() {
	n.mu.Lock()
	l := n.life
	n.life = nil
	n.mu.Unlock()
	if l == nil {
		return
	}
	l.end()
	l.runs.Wait()
	n.mu.Lock()
	keepers := n.idle
	for _, left := range n.left {
		keepers = append(keepers, left...)
	}
	n.idle, n.left = nil, map[string][]*keeper.Keeper{}
	n.mu.Unlock()
	closeKeepers(keepers)
}

func closeKeepers(all []*keeper.Keeper) {
	var closing sync.WaitGroup
	for _, k := range all {
		closing.Go(k.Close)
	}
	closing.Wait()
}

// Reboot ends all processes. The tree stays, apart from what is volatile.
func (n *Node) Reboot() error {
	n.shutdown()
	err := errors.Join(n.clear("volatile"), n.grow())
	n.boot()
	if err != nil {
		return fmt.Errorf("node: reboot %s: %w", n.c.ID, err)
	}
	return nil
}

// Reimage ends all processes, and begins with a new tree.
func (n *Node) Reimage() error {
	n.shutdown()
	var errs []error
	for _, d := range directories {
		errs = append(errs, n.clear(d.name))
	}
	err := errors.Join(append(errs, n.grow())...)
	n.boot()
	if err != nil {
		return fmt.Errorf("node: reimage %s: %w", n.c.ID, err)
	}
	return nil
}

// Close ends all processes. The tree stays.
func (n *Node) Close() error {
	n.shutdown()
	return n.close()
}

func (n *Node) close() error {
	var errs []error
	for _, root := range []*os.Root{n.tree, n.home} {
		if root != nil {
			errs = append(errs, root.Close())
		}
	}
	if n.c.Network != nil {
		errs = append(errs, n.c.Network.Close())
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	n.client.CloseIdleConnections()
	return errors.Join(errs...)
}

// Destroy ends all processes and removes the node's directory.
func (n *Node) Destroy() error {
	n.shutdown()
	for _, d := range directories {
		_ = n.clear(d.name) // with what RemoveAll below cannot: directories that their owner may not enter
	}
	err := errors.Join(n.close(), os.RemoveAll(n.c.Dir))
	if err != nil {
		return fmt.Errorf("node: destroy %s: %w", n.c.ID, err)
	}
	return nil
}

// begin takes part in the present life of the node; nil if it has none.
func (n *Node) begin() *life {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.life != nil {
		n.life.runs.Add(1)
	}
	return n.life
}

// keeper takes a keeper that waits, or starts one.
func (n *Node) keeper() (*keeper.Keeper, error) {
	n.mu.Lock()
	for len(n.idle) > 0 {
		k := n.idle[len(n.idle)-1]
		n.idle = n.idle[:len(n.idle)-1]
		select {
		case <-k.Lost():
			continue
		default:
		}
		n.mu.Unlock()
		return k, nil
	}
	n.mu.Unlock()
	o := keeper.Options{Lock: n.lock}
	if n.c.Network != nil {
		o.Net = n.c.Network.space
	}
	if n.view {
		o.View = &keeper.View{
			Hostname: n.Hostname(), Address: n.c.Address.String(), Scratch: n.scratch(),
			Mounts: map[string]string{n.c.MountPoint: filepath.Join(n.c.Dir, "root")},
		}
	}
	return keeper.Start(o)
}

// release ends all processes of a keeper and keeps it for the next command, if it can be used.
func (n *Node) release(k *keeper.Keeper) error {
	err := k.Kill()
	if err == nil {
		n.mu.Lock()
		if n.life != nil && len(n.idle) < maxIdle {
			n.idle = append(n.idle, k)
			k = nil
		}
		n.mu.Unlock()
	}
	if k != nil {
		k.Close()
	}
	return err
}

// retain keeps the processes that the task of a node or job left behind.
func (n *Node) retain(job string, k *keeper.Keeper) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left[job] = append(n.left[job], k)
}

// EndJob returns what ends the processes that the job's preparation task has left on the node until now.
func (n *Node) EndJob(job string) (finish func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	keepers := n.left[job]
	delete(n.left, job)
	return func() { closeKeepers(keepers) }
}

// asideDir is where directories wait to be deleted, beside the tree.
const asideDir = "aside"

// setAside takes something out of the tree at once, so that its name is free, and returns what deletes it. What is left when
// the node closes is deleted when it is opened next.
func (n *Node) setAside(name string) (finish func() error, err error) {
	n.mu.Lock()
	n.aside++
	to := asideDir + "/" + strconv.Itoa(n.aside)
	n.mu.Unlock()
	from := "root/" + name
	err = n.home.Rename(from, to)
	if errors.Is(err, fs.ErrPermission) { // its owner may not change it
		if err = n.home.Chmod(from, 0o700); err == nil {
			err = n.home.Rename(from, to)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return func() error {
		if err := clear(n.home, to); !errors.Is(err, fs.ErrClosed) {
			return err
		}
		return nil
	}, nil
}
