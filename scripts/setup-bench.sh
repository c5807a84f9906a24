#!/usr/bin/env bash
# Installs the systems that `make bench` compares with, from Debian. The bench runs without them too, against the
# limits of the machine only.
set -euo pipefail

packages=()
for p in python3-numpy python3-distributed python3-joblib; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || packages+=("$p")
done
if [ ${#packages[@]} -eq 0 ]; then
	exit 0
fi
root=()
[ "$(id -u)" = 0 ] || root=(sudo)
"${root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${root[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}"
