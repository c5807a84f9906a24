#!/bin/bash
# Starts a Slurm cluster of its own on this machine, for the tests: munged, slurmctld and some slurmd, from Debian's packages.
#
#   scripts/slurm-up.sh DIR      DIR holds all of it (at most 60 characters: names of sockets are built from it)
#   . DIR/env                    sets SLURM_CONF for sbatch, squeue, ...
#   scripts/slurm-down.sh DIR
#
# It starts what does not run, so it also heals what a test broke, and returns when all nodes are ready. As root each node has
# its own process and mount namespace: kill -9 $(cat DIR/run/n2.pid) is a power cut of node n2. Otherwise the nodes are plain
# processes, and killing one leaves its tasks alive.
#
#   SLURM_NODES=4  SLURM_CPUS=4  SLURM_MEM=4000 (MB)  SLURM_GPUS=0   of each node (they may claim more than there is)
#   SLURM_MAX_ARRAY=10001                                            MaxArraySize
set -euo pipefail
dir=${1:?usage: slurm-up.sh DIR}
nodes=${SLURM_NODES:-4} cpus=${SLURM_CPUS:-4} mem=${SLURM_MEM:-4000} gpus=${SLURM_GPUS:-0} max_array=${SLURM_MAX_ARRAY:-10001}
PATH=$PATH:/usr/sbin:/sbin
for c in munged slurmctld slurmd sbatch; do
	command -v $c >/dev/null || { echo "slurm-up: $c is missing: run scripts/setup.sh" >&2; exit 1; }
done
mkdir -p "$dir" && dir=$(cd "$dir" && pwd -P)
[ ${#dir} -le 60 ] || { echo "slurm-up: $dir has more than 60 characters" >&2; exit 1; }
umask 022
chmod go-w,a+x "$dir" # munged insists
mkdir -p "$dir"/{run,log,state,spool,tmp}
export SLURM_CONF=$dir/slurm.conf
host=$(uname -n) host=${host%%.*}
names=() && for ((i = 1; i <= nodes; i++)); do names+=("n$i") && mkdir -p "$dir/spool/n$i" "$dir/tmp/n$i"; done

configure() {
	(umask 077 && head -c 128 /dev/urandom >"$dir/munge.key")
	# A block of ports that nobody answers at, below the range that the system gives to clients.
	block=$(cksum <<<"$dir" | cut -d' ' -f1) taken=1
	while [ -n "$taken" ]; do
		port=$((10000 + block++ % 1000 * 20)) taken=
		for ((i = 0; i <= nodes; i++)); do if (: >"/dev/tcp/127.0.0.1/$((port + i))") 2>/dev/null; then taken=1; fi; done
	done
	{ # Each node has an address of its own, since MPI takes a name for this machine's if its address is.
		cat /etc/hosts && echo "127.0.0.1 $host"
		for ((i = 1; i <= nodes; i++)); do echo "127.0.1.$i n$i"; done
	} >"$dir/hosts"
	echo "export SLURM_CONF=$SLURM_CONF" >"$dir/env"
	gres=
	if [ "$gpus" -gt 0 ]; then # devices that are none, since Slurm counts files only
		for ((i = 0; i < gpus; i++)); do mknod "$dir/tmp/gpu$i" c 1 3 2>/dev/null || : >"$dir/tmp/gpu$i"; done
		echo "Name=gpu File=$dir/tmp/gpu[0-$((gpus - 1))]" >"$dir/gres.conf"
		gres=Gres=gpu:$gpus
	fi
	cat >"$SLURM_CONF" <<-CONF
		ClusterName=test
		SlurmctldHost=$host(127.0.0.1)
		SlurmctldPort=$port
		SlurmUser=$(id -un)
		SlurmdUser=$(id -un)
		AuthType=auth/munge
		CredType=cred/munge
		# A requeued job waits until the credential of its first start has expired; the default is two minutes.
		AuthInfo=socket=$dir/run/munge.sock,cred_expire=5
		StateSaveLocation=$dir/state
		SlurmdSpoolDir=$dir/spool/%n
		SlurmctldPidFile=$dir/state/slurmctld.pid
		SlurmdPidFile=$dir/spool/%n/slurmd.pid
		SlurmctldLogFile=$dir/log/slurmctld.log
		SlurmdLogFile=$dir/log/%n.log
		TmpFS=$dir/tmp/%n
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		MpiDefault=none
		# No cgroups here: Slurm itself looks every second for jobs that use more memory than they asked for.
		JobAcctGatherType=jobacct_gather/linux
		JobAcctGatherFrequency=task=1
		JobAcctGatherParams=OverMemoryKill
		AccountingStorageType=accounting_storage/none
		JobCompType=jobcomp/none
		# Faults are noticed, and processes killed, sooner than by default.
		KillWait=2
		SlurmdTimeout=10
		ReturnToService=2
		MinJobAge=300
		MaxArraySize=$max_array
		MaxJobCount=30000
		# By default a batch job may wait three seconds for the scheduler to look at it.
		SchedulerType=sched/backfill
		SchedulerParameters=batch_sched_delay=0,sched_interval=2,default_queue_depth=1000,bf_interval=5
		PriorityType=priority/basic
		EpilogMsgTime=0
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core_Memory
		# Without it a job takes all memory of its node.
		DefMemPerCPU=$((mem / cpus))
		SlurmdParameters=config_overrides
		GresTypes=gpu
		NodeName=n[1-$nodes] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + nodes))] CPUs=$cpus RealMemory=$mem $gres
		PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
		PartitionName=other Nodes=n1 MaxTime=10 State=UP
	CONF
}
[ -e "$dir/env" ] || configure

alive() { # NAME: the process that was started under it lives (and is no other with its number)
	local pid
	pid=$(cat "$dir/run/$1.pid" 2>/dev/null) && grep -aqF "$dir/" "/proc/$pid/cmdline" 2>/dev/null
}
start() { # NAME COMMAND...
	local name=$1
	shift
	alive "$name" && return
	setsid "$@" </dev/null >>"$dir/log/$name.out" 2>&1 &
	echo $! >"$dir/run/$name.pid"
}
await() { # WHAT COMMAND...
	local what=$1 i
	shift
	for ((i = 0; i < 600; i++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.05
	done
	tail -n 5 "$dir"/log/*.out >&2
	echo "slurm-up: $what; see $dir/log" >&2
	exit 1
}
start munged munged --foreground --force --key-file="$dir/munge.key" --socket="$dir/run/munge.sock" \
	--pid-file="$dir/run/munged.own" --seed-file="$dir/run/munged.seed" --log-file="$dir/log/munged.log"
await "munged does not answer" munge --socket="$dir/run/munge.sock" --no-input
start slurmctld slurmctld -D -f "$SLURM_CONF"
await "slurmctld does not answer" sh -c 'timeout 5 scontrol ping | grep UP'

apart=()
if unshare --pid --fork --mount --uts --mount-proc true 2>/dev/null; then
	apart=(unshare --fork --kill-child --pid --mount --uts --mount-proc)
fi
since=$(date +%FT%T) fresh=' '
for n in "${names[@]}"; do
	alive "$n" && continue
	# One that was killed: slurmctld would miss it only after a while.
	[ ! -e "$dir/run/$n.pid" ] || scontrol update nodename="$n" state=down reason=restart
	fresh+="$n "
	start "$n" "${apart[@]}" sh -c '
		[ -n "$4" ] || exec slurmd -D -N "$1" -f "$2"
		hostname "$1"
		mount --bind "$3" /etc/hosts
		slurmd -D -N "$1" -f "$2" & wait' slurmd "$n" "$SLURM_CONF" "$dir/hosts" "${apart[*]}"
done
ready() { # all nodes are up, and those that were started now have registered since
	scontrol -o show nodes | awk -v want="$nodes" -v fresh="$fresh" -v since="$since" '
		{ for (i = 1; i <= NF; i++) { eq = index($i, "="); v[substr($i, 1, eq - 1)] = substr($i, eq + 1) } }
		v["State"] ~ /\*|DOWN|UNKNOWN|INVAL/ { next }
		index(fresh, " " v["NodeName"] " ") && v["SlurmdStartTime"] < since { next }
		{ ok++ }
		END { exit ok != want }'
}
await "the nodes do not register" ready
echo "slurm is up: $nodes nodes of $cpus cores; . $dir/env"
