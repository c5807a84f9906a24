#!/usr/bin/env bash
# Installs what the tests need and is not there yet. Does nothing on a machine that has it all.
set -euo pipefail

if ! command -v go >/dev/null; then
	echo "setup: the go command is not in PATH: install Go 1.26 or later, see https://go.dev/doc/install" >&2
	exit 1
fi

packages=()
need() { # command, Debian package
	command -v "$1" >/dev/null || packages+=("$2")
}
need git git
need gcc gcc # the race detector is linked by it
need mpiexec.openmpi openmpi-bin # both MPI libraries, side by side
need mpicc.openmpi libopenmpi-dev
need mpiexec.mpich mpich
need mpicc.mpich libmpich-dev
need node nodejs
need npm npm
PATH=$PATH:/usr/sbin:/sbin # where some users do not look
need ip iproute2 # networks of the emulator's nodes
need munged munge
need slurmctld slurmctld
need slurmd slurmd
need sbatch slurm-client
[ -e /usr/include/stdlib.h ] || packages+=(libc6-dev)

if [ ${#packages[@]} -gt 0 ]; then
	root=()
	[ "$(id -u)" = 0 ] || root=(sudo -n)
	if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! sudo -n true 2>/dev/null; }; then
		echo "setup: missing: ${packages[*]} (names of Debian's packages); install them and run this again" >&2
		exit 1
	fi
	echo "== install ${packages[*]}"
	"${root[@]}" apt-get update -qq
	# At run level 1 the packages do not start Slurm's own daemons.
	"${root[@]}" env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

go mod download

# Azurite, for tests of what is kept in Azure Storage: again when the lock file says something else.
azurite=$(dirname "$0")/azurite
if ! cmp -s "$azurite/package-lock.json" "$azurite/node_modules/.installed"; then
	echo "== install azurite"
	npm ci --prefix "$azurite" --no-audit --no-fund --loglevel=error
	cp "$azurite/package-lock.json" "$azurite/node_modules/.installed"
fi
