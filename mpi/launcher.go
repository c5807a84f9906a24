package mpi

import (
	"context"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/team"
	"github.com/clusterless-go/clusterless/mpi/internal/lib"
)

// EnvMpiexec is the variable that says which mpiexec starts ranks, a name or a path; it is looked up on the node.
// Without it that is the first of mpiexec, mpirun, mpiexec.openmpi, mpiexec.mpich and mpiexec.hydra that there is.
const EnvMpiexec = "MPIEXEC"

// EnvInterface is the variable that says which network interface the ranks of several nodes use, by name ("eth0").
// Without it MPI chooses.
const EnvInterface = "MPI_INTERFACE"

// A launcher is an mpiexec of this node.
type launcher struct {
	path string
	abi  lib.ABI
}

var launchers struct {
	sync.Mutex
	found map[string]launcher
}

// findLauncher finds mpiexec and which library it belongs to.
func findLauncher(ctx context.Context) (launcher, error) {
	names := []string{"mpiexec", "mpirun", "mpiexec.openmpi", "mpiexec.mpich", "mpiexec.hydra"}
	chosen := os.Getenv(EnvMpiexec)
	if chosen != "" {
		names = []string{chosen}
	}
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		launchers.Lock()
		defer launchers.Unlock()
		if l, ok := launchers.found[path]; ok {
			return l, nil
		}
		l := launcher{path: path}
		if l.abi, err = launcherABI(ctx, path); err != nil {
			return launcher{}, err
		}
		if launchers.found == nil {
			launchers.found = map[string]launcher{}
		}
		launchers.found[path] = l
		return l, nil
	}
	if chosen != "" {
		return launcher{}, fmt.Errorf("mpi: there is no %s on this node, which the variable %s asks for: %w", chosen, EnvMpiexec, ErrNoLibrary)
	}
	return launcher{}, fmt.Errorf("mpi: there is no mpiexec on this node (%s): install Open MPI (Debian: openmpi-bin) or MPICH (mpich), or set %s: %w",
		strings.Join(names, ", "), EnvMpiexec, ErrNoLibrary)
}

// versionTime is how long an mpiexec may take to say what it is.
const versionTime = 30 * time.Second

// launcherABI tells whose mpiexec a file is: by the name of what it links to, which is quick, or by what it says.
func launcherABI(ctx context.Context, path string) (lib.ABI, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		switch base := filepath.Base(real); {
		case base == "orterun" || base == "prterun" || strings.HasSuffix(base, ".openmpi"):
			return lib.OpenMPI, nil
		case strings.HasPrefix(base, "mpiexec.hydra"), strings.HasSuffix(base, ".mpich"):
			return lib.MPICH, nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, versionTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	text := string(out)
	switch {
	case strings.Contains(text, "Open MPI") || strings.Contains(text, "OpenRTE") || strings.Contains(text, "PRRTE"):
		return lib.OpenMPI, nil
	case strings.Contains(text, "HYDRA") || strings.Contains(text, "Intel(R) MPI") || strings.Contains(text, "MPICH"):
		return lib.MPICH, nil
	}
	return 0, fmt.Errorf("mpi: %s says of itself %q (%v), which is neither Open MPI's mpiexec nor MPICH's: set %s to one of these: %w",
		path, firstLine(text), err, EnvMpiexec, ErrForeign)
}

// fits says whether a program is linked to a library of this mpiexec. With another each rank would be alone in a world of one, and the
// program might well end without an error. A library libmpi.so.12 may be of either, and what is no program of Linux is not looked at.
func (l launcher) fits(program string) error {
	f, err := elf.Open(program)
	if err != nil {
		return nil
	}
	defer f.Close()
	needs, err := f.ImportedLibraries()
	if err != nil {
		return nil
	}
	for _, so := range needs {
		openmpi := strings.HasPrefix(so, "libmpi.so.") && so != "libmpi.so.12"
		mpich := strings.HasPrefix(so, "libmpich.so.")
		if openmpi && l.abi != lib.OpenMPI || mpich && l.abi != lib.MPICH {
			return fmt.Errorf("it is linked to %s, which is not of %s: set %s to that library's mpiexec: %w", so, l.path, EnvMpiexec, ErrLonely)
		}
	}
	return nil
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// hosts are names of nodes as mpiexec takes them: what each calls itself, since Open MPI's daemon looks for its host's name among
// them. Those of one machine may all call themselves the same. The map has the nodes by their names.
func hosts(nodes []string, host func(node string) string) (names []string, nodeOf map[string]string) {
	nodeOf = map[string]string{}
	for i, n := range nodes {
		name := n
		if i > 0 {
			name = host(n)
		}
		if !hostname.MatchString(name) || slices.Contains(names, name) {
			name = "node" + strconv.Itoa(i)
		}
		names = append(names, name)
		nodeOf[name] = n
	}
	return names, nodeOf
}

var hostname = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)

// command is mpiexec with the arguments for the ranks of a task, on nodes of which the first is this one. shell is what
// takes the place of ssh; reached is the interface at which other nodes reach this one.
func (l launcher) command(info team.Info, nodes []string, shell, reached, program string, args []string) *exec.Cmd {
	s := info.Shape
	ranks := max(1, s.Ranks)
	argv := []string{"-n", strconv.Itoa(ranks)}
	if l.abi == lib.OpenMPI {
		// The engine has counted the cores. Ranks are not bound unless asked for, since tasks of one node would all be bound to the same cores.
		argv = append(argv, "--tag-output", "--oversubscribe")
		if os.Geteuid() == 0 {
			argv = append(argv, "--allow-run-as-root")
		}
		if s.Bind {
			argv = append(argv, "--bind-to", "core", "--map-by", fmt.Sprintf("slot:PE=%d", max(1, s.Threads)))
		} else {
			argv = append(argv, "--bind-to", "none")
		}
		if len(nodes) > 1 {
			hosts := make([]string, len(nodes))
			for i, n := range nodes {
				hosts[i] = n + ":" + strconv.Itoa(s.RanksPerNode)
			}
			argv = append(argv, "--host", strings.Join(hosts, ","), "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", remoteShell(shell),
				"--mca", "plm_rsh_no_tree_spawn", "1", // all agents are reached from here
				// Its daemons do not go to the background: they end with the shell, and say why.
				"--mca", "orte_leave_session_attached", "1", "--mca", "plm_rsh_num_concurrent", strconv.Itoa(len(nodes)))
			if i := l.network(reached, info); i != "" {
				argv = append(argv, "--mca", "btl_tcp_if_include", i, "--mca", "oob_tcp_if_include", i)
			}
		}
	} else {
		argv = append(argv, "-prepend-rank")
		if s.Bind {
			argv = append(argv, "-bind-to", fmt.Sprintf("core:%d", max(1, s.Threads)))
		}
		if len(nodes) > 1 {
			argv = append(argv, "-hosts", strings.Join(nodes, ","), "-ppn", strconv.Itoa(s.RanksPerNode), "-launcher", "ssh", "-launcher-exec", shell)
			if i := l.network(reached, info); i != "" {
				argv = append(argv, "-iface", i)
			}
		} else {
			argv = append(argv, "-launcher", "fork")
		}
	}
	cmd := exec.Command(l.path, append(append(argv, program), args...)...)
	cmd.Dir = info.Dir
	return cmd
}

// network is the interface for ranks of several nodes; reached is where the task's agents reach this one. Hydra's processes would
// look for each other by host names, which other nodes may not know. Open MPI's try all addresses.
func (l launcher) network(reached string, info team.Info) string {
	switch i := os.Getenv(EnvInterface); {
	case i != "":
		return i
	case info.Hub == nil:
		return "lo" // all nodes are this machine
	case l.abi == lib.MPICH:
		return reached
	}
	return ""
}

// scheduled reports whether a variable is of a batch system, or of its own start of processes. mpiexec would take it for an
// order: both libraries start ranks by srun, on the nodes of Slurm's choice, where they find an allocation.
func scheduled(name string) bool {
	return strings.HasPrefix(name, "SLURM_") || strings.HasPrefix(name, "PMI_") || strings.HasPrefix(name, "PMIX_") && !strings.HasPrefix(name, "PMIX_MCA_")
}

// here is the environment for mpiexec and the ranks of this node, from this process's.
func here() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return scheduled(name)
	})
}

// ofNode are variables that each node has its own of.
var ofNode = []string{"PATH", "LD_LIBRARY_PATH", "HOME", "USER", "HOSTNAME", "PWD", "TMPDIR", "_", "SHLVL", "TERM",
	"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK", "GPU_DEVICE_ORDINAL"}

// forwarded are the variables that ranks on other nodes are to have from here.
func forwarded() (env []string) {
	for _, v := range here() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case strings.HasPrefix(name, "OMPI_"), strings.HasPrefix(name, "PMI"), strings.HasPrefix(name, "AZ_BATCH_"), strings.HasPrefix(name, "CLUSTERLESS_"):
		case slices.Contains(ofNode, name):
		default:
			env = append(env, v)
		}
	}
	return env
}

// shared is the environment for ranks that says how many threads they have, and keeps libraries from what does not go with
// Go's runtime.
func (l launcher) shared(info team.Info) []string {
	threads := strconv.Itoa(max(1, info.Shape.Threads))
	env := []string{
		"GOMAXPROCS=" + threads,
		"OMP_NUM_THREADS=" + threads,
		"UCX_ERROR_SIGNALS=", // else UCX takes SIGSEGV away from Go's runtime
		envSize + "=" + strconv.Itoa(max(1, info.Shape.Ranks)),
		lib.EnvPrefix + "=" + filepath.Dir(filepath.Dir(l.path)),
	}
	if info.Shape.Bind {
		env = append(env, "OMP_PROC_BIND=true")
	}
	return env
}

// envMalloc is the variable with the settings of glibc's allocator.
const envMalloc = "GLIBC_TUNABLES"

// memory is the environment that has the C library of a rank of this program keep what it was given back. Go does not use it, but MPI
// does: a large reduction takes a buffer of half its size or more in each call, and by default has the kernel map and clear fresh pages for
// it each time. That buffer would also begin 16 bytes behind a page, where Go's large slices begin at one; of such a pair AMD's
// Zen 3 copies with half its speed. With one arena for all threads, since only the first can grow to any size.
func memory() []string {
	if _, ok := os.LookupEnv(envMalloc); ok {
		return nil // who sets it knows better
	}
	return []string{envMalloc + "=glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=0x7fffffffffffffff"}
}

// remoteShell is the shell as Open MPI wants it: words with blanks between, the first of which its daemons look for on their
// nodes, too, where the script is not. A program whose path cannot be such a word stays with the script, which is on this node.
func remoteShell(script string) string {
	program, err := os.Executable()
	if err != nil || strings.ContainsAny(program, " :\"'\\$`") {
		return script
	}
	return strings.Join([]string{"/usr/bin/env", contract.EnvWorker + "=" + contract.Version, contract.EnvRole + "=" + team.Shell, program}, " ")
}

// shellScript writes the program that mpiexec takes for ssh: this program in another role. The rest is in the environment.
func shellScript(info team.Info, program string) (string, error) {
	path := filepath.Join(info.Scratch, "shell-"+strconv.Itoa(info.Call)+".sh")
	quoted := "'" + strings.ReplaceAll(program, "'", `'\''`) + "'"
	text := fmt.Sprintf("#!/bin/sh\nexport %s=%s %s=%s\nexec %s \"$@\"\n", contract.EnvWorker, contract.Version, contract.EnvRole, team.Shell, quoted)
	return path, os.WriteFile(path, []byte(text), 0o700)
}
