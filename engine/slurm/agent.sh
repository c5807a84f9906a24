# The agent: one element of a job array, which makes runs of one job until none is left, or until it has worked long
# enough. The engine puts before this: root, dir (of the job), sub, base, count (of the array), pack, most (seconds after which an
# element takes no further run: in any case, and where there are too few elements; 0: never), limit (seconds of one run, or
# nothing), wd (the client's working directory), tmp, nodes (of the element), cmd (the command), and the function environ, which
# exports the job's variables, and those of the client that have names such as are used here: of lower case letters only.
# What a file says is in the package's documentation. Everything on the way of a run is built into bash. Exit codes from 91 on say
# why no run can be made on this node: judge.go has the texts.

pid='' stopped='' local='' agents=''
unfit() { # CODE: a node that cannot make runs would quickly use up the whole array
  sleep 5 &
  wait $!
  [ -z "$stopped" ] || exit 143
  exit "$1"
}
[ -d "$root/runs" ] || unfit 91
cd "$dir" 2>/dev/null || exit 0 # the job was deleted
exec </dev/null
exec 2>>agent.log || unfit 95
shopt -s nullglob dotglob
me=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID restart=${SLURM_RESTART_COUNT:-0} node=${SLURMD_NODENAME:-$HOSTNAME}
mapfile -s 1 -t runs <"sub.$sub" || unfit 92
array=arr.$sub.$base.$count.$SLURM_ARRAY_JOB_ID
[ -e "$array" ] || : >"$array" # its client was killed before it could write it down

# Slurm ends the element: because it was cancelled, preempted, or ran out of time. Which, Slurm knows; nothing is written.
trap 'stopped=1; [ -z "$pid" ] || kill -TERM -- "-$pid" 2>/dev/null' TERM
trap leave EXIT

leave() {
  [ -z "$agents" ] || {
    kill -USR1 "$agents" 2>/dev/null # which srun passes on; at SIGTERM it would kill them
    (trap - TERM EXIT; sleep 3; kill -KILL "$agents") 2>/dev/null &
    wait "$agents"
    kill -KILL $! 2>/dev/null
  }
  [ -z "$local" ] || rm -rf "$local"
}

now() {
  now=${EPOCHREALTIME/,/.}
  [ -n "$now" ] || printf -v now '%(%s)T' -1
}

# create FILE TEXT: fails if the file is there, or cannot be written, and then is not there. Bash creates with O_EXCL, which is
# atomic on NFS too.
create() {
  set -C
  { { printf '%s\n' "$2" || { rm -f "$1"; false; }; } >"$1"; } 2>/dev/null
  local failed=$?
  set +C
  return $failed
}

# over ends the element if the job was cancelled, also one that its client did not know of, or deleted.
over() {
  [ -e "sub.$sub" ] || exit 0
  [ -e cancelled ] && read -r last <cancelled && [ "$last" -gt "$sub" ] && exit 0
}

prepare() {
  space=$(readlink /proc/self/ns/pid) space=${space//[!0-9]/} # where a number means a process
  for old in "$tmp/clusterless-$UID-$node-"*"-$space-"*; do # of agents that were killed
    [ "${old##*-}" != $$ ] && kill -0 "${old##*-}" 2>/dev/null || rm -rf "$old"
  done
  local=$tmp/clusterless-$UID-$node-$me-$space-$$
  mkdir -m 700 "$local" "$local/scratch" || { rm -rf "$local"; local=; return 1; }
  cache=$tmp/clusterless-cache-$UID
  [ -d "$cache" ] || mkdir -m 700 "$cache" 2>/dev/null
  [ -O "$cache" ] || cache=$local/cache # another user's
  export CLUSTERLESS_SCRATCH=$local/scratch CLUSTERLESS_CACHE=$cache CLUSTERLESS_NODE=$node
}

# team: on the other nodes of the element the program runs as an agent, which starts there what the worker tells it to; see
# docs/worker.md. The token is in their environment only. They stay for all runs of the element.
team() {
  [ "$nodes" -gt 1 ] && [ -z "$agents" ] || return 0
  local srun n=$((nodes - 1)) flags
  for ((port = 20000 + SLURM_JOB_ID % 12000; ; port = 20000 + (port + 1) % 12000)); do # Linux gives clients those from 32768 on
    (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  CLUSTERLESS_TOKEN=$(od -An -N16 -tx1 /dev/urandom) CLUSTERLESS_TOKEN=${CLUSTERLESS_TOKEN//[!0-9a-f]/}
  export CLUSTERLESS_TOKEN CLUSTERLESS_NODES=$nodes
  srun=$(command -v srun) || srun=srun
  flags=(--nodes="$n" --ntasks="$n" --ntasks-per-node=1 --relative=1 --overlap --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --cpu-bind=none
    --mpi=none --kill-on-bad-exit=0 --input=none --chdir=/ --export=ALL)
  (
    trap - TERM EXIT
    export tmp port root
    export -f prepare environ member
    exec "$srun" "${flags[@]}" "$BASH" -c 'member "$@"' agent "${cmd[@]}" >>agent.log
  ) &
  agents=$!
  export CLUSTERLESS_TEAM=:$port
}

# member COMMAND: the agent of one of the other nodes.
member() {
  local pid
  node=$SLURMD_NODENAME me=$SLURM_JOB_ID
  [ -d "$root/runs" ] || { echo "clusterless: node $node does not see the shared directory $root" >&2; exit 91; }
  [ -d "$tmp" ] || tmp=/tmp
  prepare || { echo "clusterless: no temporary directory on $node in $tmp" >&2; exit 93; }
  trap 'rm -rf "$local"' EXIT
  export CLUSTERLESS_ROLE=agent CLUSTERLESS_TEAM=$SLURM_LAUNCH_NODE_IPADDR:$port
  cd "$local/scratch" || exit 93
  unset "${!SLURM_@}" "${!PMI@}"
  (
    trap - TERM EXIT
    environ
    unset -f prepare environ member
    exec "$@"
  ) &
  pid=$!
  trap 'kill -TERM "$pid" 2>/dev/null' TERM USR1
  while wait "$pid"; code=$?; [ $code -gt 128 ] && kill -0 "$pid" 2>/dev/null; do :; done
  exit $code
}

# settle: what was killed just now was perhaps killed by Slurm, which then is after the agent too.
settle() {
  [ -n "$stopped" ] || { sleep 1 & wait $!; }
  [ -z "$stopped" ] || exit 143
}

# one RUN AGAIN: makes a run that is claimed.
one() {
  local run=$1 code how why watchdog='' starter=''
  team
  export CLUSTERLESS_TASK=${run%.*} CLUSTERLESS_ATTEMPT=${run##*.}
  unset CLUSTERLESS_BEGUN
  [ -z "$2" ] || { export CLUSTERLESS_BEGUN=1; echo "[clusterless: begun again on $node]" >>"log/$run"; }
  set -m # in a process group of its own
  (
    trap - TERM EXIT
    exec >>"$PWD/log/$run" 2>&1
    cd "${wd:-/nowhere}" 2>/dev/null || cd "$local/scratch"
    set -- "${cmd[@]}" # no variable of the job has such a name
    unset cmd runs     # arrays cannot be exported
    environ
    exec "$@"
  ) &
  pid=$!
  [ -z "$limit" ] || {
    (trap - TERM EXIT; sleep "$limit"; : >"$local/late"; kill -TERM -- "-$pid"; sleep 1; kill -KILL -- "-$pid") &
    watchdog=$!
  }
  [ -z "$agents" ] || { # the worker is told if no more of them will come
    (trap - TERM EXIT
      while kill -0 "$agents"; do sleep 1; done
      while kill -WINCH "$pid"; do sleep 1; done) 2>/dev/null &
    starter=$!
  }
  set +m
  while wait "$pid"; code=$?; [ $code -gt 128 ] && kill -0 "$pid" 2>/dev/null; do :; done # wait ends at TERM too
  kill -KILL -- "-$pid" 2>/dev/null
  for other in $watchdog $starter; do kill -KILL -- "-$other" 2>/dev/null; done
  pid=''
  case $code in 137 | 143) settle ;; esac
  [ -z "$stopped" ] || exit 143
  why=
  case $code in 126 | 127) why=$(tail -n 1 "log/$run") ;; esac # what bash says, in any language, if it cannot start a program
  if [[ $why == "$0: "*": ${cmd[0]}: "* ]]; then
    ended "$run" notstarted - "cannot start ${cmd[0]} on $node: ${why##*"${cmd[0]}: "}"
    unfit 94
  elif [ -e "$local/late" ]; then
    rm "$local/late"
    ended "$run" timeout - "ran longer than $limit s"
  elif [ $code = 70 ] && [ -e "$local/scratch/lost" ]; then
    read -r other <"$local/scratch/lost"
    ended "$run" lost "${other:--}" "lost ${other:-one} of its nodes: see its log"
    exit 0 # nothing more can be done with the rest
  elif [ $code -gt 128 ] && how=$(kill -l $code 2>/dev/null); then
    ended "$run" signal "SIG$how" "killed by SIG$how"
    exit $code # if the kernel did it for want of memory, Slurm says so now
  else
    ended "$run" exit $code
  fi
  set -- "$local"/scratch/*
  [ $# = 0 ] || { rm -rf "$local/scratch"; mkdir "$local/scratch"; }
}

# ended RUN HOW VALUE [REASON]
ended() {
  now
  create "end/$1" "$2 $3 $now $node $4" || [ -e "end/$1" ] || unfit 95 # one line, so that a reader sees all of it or its end missing
}

now
mine="$me $restart $node $now"
over
if [ "$restart" -gt 0 ]; then # what this element had claimed when it lost its node
  for run in "${runs[@]}"; do
    [ -e "claim/$run" ] && [ ! -e "end/$run" ] && read -r owner _ <"claim/$run" && [ "$owner" = "$me" ] || continue
    [ -n "$local" ] || prepare || unfit 93
    echo "$mine" >"claim/$run"
    one "$run" again
  done
fi
for ((at = base + SLURM_ARRAY_TASK_ID; at < ${#runs[@]}; at++)); do
  run=${runs[at]}
  [ -e "claim/$run" ] && continue
  over
  [ -n "$local" ] || prepare || unfit 93
  now
  create "claim/$run" "$me $restart $node $now" || {
    [ -e "claim/$run" ] && continue
    over
    unfit 95
  }
  one "$run" ''
  [ $SECONDS -lt "$pack" ] || { [ -e "full.$sub" ] && { [ "$most" = 0 ] || [ $SECONDS -lt "$most" ]; }; } || break
done
exit 0
