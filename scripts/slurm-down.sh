#!/bin/bash
# Stops the cluster that slurm-up.sh started in DIR, with all that runs on it. The directory stays.
set -euo pipefail
dir=${1:?usage: slurm-down.sh DIR}
[ -d "$dir/run" ] || exit 0
dir=$(cd "$dir" && pwd -P)
export SLURM_CONF=$dir/slurm.conf

pid_of() { # FILE: the number in it, if that process is still the one that was started
	local pid
	pid=$(cat "$1" 2>/dev/null) && grep -aqF "$dir/" "/proc/$pid/cmdline" 2>/dev/null && echo "$pid"
}
stop() { # SIGNAL FILE...: sends it, waits, and kills what is left
	local sig=$1 f pid i
	shift
	for f; do ! pid=$(pid_of "$f") || kill "-$sig" "$pid" 2>/dev/null || true; done
	for f; do
		for ((i = 0; i < 100; i++)); do pid_of "$f" >/dev/null || break; sleep 0.05; done
		! pid=$(pid_of "$f") || kill -KILL "$pid" 2>/dev/null || true
		rm -f "$f"
	done
}
if pid_of "$dir/run/slurmctld.pid" >/dev/null; then # without namespaces tasks outlive their slurmd
	timeout 5 squeue --noheader --format=%A 2>/dev/null | sort -u | timeout 10 xargs -r scancel --quiet 2>/dev/null || true
	for ((i = 0; i < 60; i++)); do [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break; sleep 0.1; done
fi
stop KILL "$dir"/run/n[0-9]*.pid # unshare(1) ignores TERM; its namespace goes with it
stop TERM "$dir/run/slurmctld.pid"
for p in /proc/[0-9]*; do # a slurmstepd whose slurmd is gone has inherited our SLURM_CONF
	[ "$(cat "$p/comm" 2>/dev/null)" = slurmstepd ] && grep -azqxF "SLURM_CONF=$SLURM_CONF" "$p/environ" 2>/dev/null || continue
	for c in $(grep -ls "^PPid:[[:space:]]*${p#/proc/}\$" /proc/[0-9]*/status); do
		c=${c#/proc/} && kill -KILL "-${c%/*}" 2>/dev/null || true
	done
	kill -KILL "${p#/proc/}" 2>/dev/null || true
done
stop TERM "$dir/run/munged.pid"
