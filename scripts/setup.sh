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
	DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

go mod download
