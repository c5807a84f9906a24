package lib

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// EnvLibrary names the library's file, for nodes on which it is not found otherwise.
const EnvLibrary = "MPI_LIBRARY"

// EnvPrefix is set for ranks by their launcher: the directory above the one that mpiexec is in, near which its library
// is looked for.
const EnvPrefix = "CLUSTERLESS_MPI_PREFIX"

// Started says which interface the process that started this one speaks, by the variables that it set; 0 if none did.
func Started() ABI {
	switch {
	case os.Getenv("OMPI_COMM_WORLD_SIZE") != "":
		return OpenMPI
	case os.Getenv("PMI_RANK") != "", os.Getenv("PMI_FD") != "", os.Getenv("MPI_LOCALNRANKS") != "":
		return MPICH
	}
	return 0
}

// Load loads the library that fits whatever started this process, or any one if it was started alone.
func Load() (*Library, error) {
	// UCX would take SIGSEGV and the like away from Go's runtime. It reads this as it is loaded.
	os.Setenv("UCX_ERROR_SIGNALS", "")
	if path := os.Getenv(EnvLibrary); path != "" {
		l, err := open(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", EnvLibrary, err)
		}
		return l, nil
	}
	want := Started()
	var tried []string
	var other *Library
	var foreign error
	for _, path := range candidates(want) {
		l, err := open(path)
		switch {
		case errors.Is(err, ErrForeign):
			foreign = err
		case err != nil:
			tried = append(tried, path)
		case want == 0 || l.ABI == want:
			return l, nil
		case other == nil:
			other = l
		}
	}
	switch {
	case other != nil:
		return nil, fmt.Errorf("this process was started by %v's mpiexec, but the only library found is %s (%s): install the library of that mpiexec, or use the mpiexec of this library (MPIEXEC)",
			want, other.Path, other.Version)
	case foreign != nil:
		return nil, foreign
	}
	return nil, fmt.Errorf("%w on this node (no %s): install Open MPI (Debian: libopenmpi3, openmpi-bin) or MPICH (mpich), or set %s to the library's file",
		ErrNone, strings.Join(tried, ", "), EnvLibrary)
}

// candidates are the files to try, best first: those beside the launcher, then what the loader finds by itself, then the
// places of distributions that keep MPI out of the loader's path.
func candidates(want ABI) (paths []string) {
	openmpi := []string{"libmpi.so.40", "libmpi.so.20", "libmpi.so.12"}
	mpich := []string{"libmpi.so.12", "libmpich.so.12"}
	loose := []string{"libmpi.so", "libmpi.dylib"}
	names := append(append([]string{}, openmpi...), mpich[1])
	if want == MPICH {
		names = append([]string{}, mpich...)
	}
	names = append(names, loose...)
	for _, prefix := range []string{os.Getenv(EnvPrefix), os.Getenv("I_MPI_ROOT"), os.Getenv("MPI_HOME")} {
		if prefix == "" || prefix == "/usr" {
			continue
		}
		for _, dir := range []string{"lib", "lib64", "lib/release"} {
			for _, n := range names {
				if p := filepath.Join(prefix, dir, n); exists(p) {
					paths = append(paths, p)
				}
			}
		}
	}
	paths = append(paths, names...)
	for _, dir := range []string{"/usr/lib64/openmpi/lib", "/usr/lib64/mpich/lib", "/usr/local/lib", "/opt/homebrew/lib"} {
		for _, n := range names {
			if p := filepath.Join(dir, n); exists(p) {
				paths = append(paths, p)
			}
		}
	}
	return paths
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// open loads one file and finds out what it is.
func open(path string) (*Library, error) {
	symbol, err := dlopen(path)
	if err != nil {
		return nil, err
	}
	l := &Library{Path: path}
	if l.fn[GetVersion], err = symbol(GetVersion.String()); err != nil {
		return nil, fmt.Errorf("%s: no %v, so no library of MPI 3 or later: %w", path, GetVersion, ErrForeign)
	}
	text := make([]byte, 8192) // MPI_MAX_LIBRARY_VERSION_STRING of MPICH, the larger one
	var n int32
	if err := l.version(text, &n); err != nil {
		return nil, err
	}
	l.Version, _, _ = strings.Cut(strings.TrimRight(string(text[:max(0, min(int(n), len(text)))]), "\x00"), "\n")
	l.Version = strings.Join(strings.Fields(l.Version), " ")
	switch l.ABI = kindOf(l.Version); l.ABI {
	case OpenMPI:
		if err := l.openmpi(symbol); err != nil {
			return nil, err
		}
	case MPICH:
		l.mpich()
	default:
		return nil, fmt.Errorf("%s calls itself %q, which has neither Open MPI's nor MPICH's binary interface: %w: use a node with one of these", path, l.Version, ErrForeign)
	}
	for f := range l.fn {
		if l.fn[f], err = symbol(names[f]); err != nil {
			return nil, fmt.Errorf("%s has no %s: %w", path, names[f], ErrForeign)
		}
	}
	return l, nil
}
