# The agent: makes one run as a Batch task. The job's environment has, each in one line for printf %b, this in CLUSTERLESS_AGENT,
# exports of the job's variables in CLUSTERLESS_ENVIRON, and the words of the command in CLUSTERLESS_COMMAND; perhaps a limit in
# seconds in CLUSTERLESS_LIMIT, CLUSTERLESS_KEEP if the command keeps logs, CLUSTERLESS_TIME if it has to do so when so many seconds
# are over, since the service ends the task then, and CLUSTERLESS_GPUS if it is to have so many of the node's CLUSTERLESS_NODE_GPUS. The run's output is the task's stdout.txt; stderr.txt has what the agent says. Plain sh, since an
# image may have no other.
verdict() { # HOW WHY: what an exit code cannot say
  echo "clusterless: $1 $2" >&2
  exit 125
}
limit=$CLUSTERLESS_LIMIT time=$CLUSTERLESS_TIME keep=$CLUSTERLESS_KEEP gpus=$CLUSTERLESS_GPUS have=$CLUSTERLESS_NODE_GPUS
eval "set -- $(printf %b "$CLUSTERLESS_COMMAND")"
scratch=$AZ_BATCH_TASK_WORKING_DIR/scratch cache=$AZ_BATCH_NODE_SHARED_DIR/clusterless-cache
rm -rf "$scratch" "$scratch".* # of a process that lost its node, or failed
mkdir -m 700 "$scratch" || verdict notstarted "no scratch directory on $AZ_BATCH_NODE_ID"
mkdir -m 700 "$cache" 2>/dev/null
[ -w "$cache" ] || cache=$scratch/cache # another user's
eval "$(printf %b "$CLUSTERLESS_ENVIRON")"
export CLUSTERLESS_TASK="${AZ_BATCH_TASK_ID%-*}" CLUSTERLESS_ATTEMPT="${AZ_BATCH_TASK_ID#*-}"
export CLUSTERLESS_SCRATCH="$scratch" CLUSTERLESS_CACHE="$cache" CLUSTERLESS_NODE="$AZ_BATCH_NODE_ID"
export CLUSTERLESS_BEGUN=1 # the service begins runs again, and tells nobody
unset CLUSTERLESS_AGENT CLUSTERLESS_ENVIRON CLUSTERLESS_COMMAND CLUSTERLESS_LIMIT CLUSTERLESS_TIME CLUSTERLESS_KEEP CLUSTERLESS_GPUS CLUSTERLESS_NODE_GPUS
if [ -n "$AZ_BATCH_HOST_LIST" ]; then # the run has several nodes; the token is there already
  export CLUSTERLESS_TEAM="$AZ_BATCH_MASTER_NODE" CLUSTERLESS_NODES="$(IFS=,; set -- $AZ_BATCH_HOST_LIST; echo $#)"
fi
[ "$1" != "{program}" ] || { shift; set -- "$AZ_BATCH_JOB_PREP_WORKING_DIR/program" "$@"; }
command -v "$1" >/dev/null 2>&1 || verdict notstarted "cannot start $1 on $AZ_BATCH_NODE_ID: there is no such program, or it may not be run"
if [ "$clusterless_part" = agent ]; then # not on the first node: it stays, to start what the worker tells it to
  CLUSTERLESS_ROLE=agent nohup "$@" >"$AZ_BATCH_TASK_DIR/agent.txt" 2>&1 </dev/null &
  exit 0
fi
if [ -n "$gpus" ]; then # a lock for each, which goes with the last process of the run
  command -v flock >/dev/null || verdict notstarted "GPUs of $AZ_BATCH_NODE_ID cannot be handed out: its image has no flock (package util-linux)"
  i=0 got=0 CUDA_VISIBLE_DEVICES=
  while [ $got -lt "$gpus" ]; do
    [ $i -lt "$have" ] || verdict notstarted "there are no $gpus GPUs free on $AZ_BATCH_NODE_ID, though there are slots: something that an earlier run left behind holds them"
    eval "exec $((got + 3))>\"\$AZ_BATCH_NODE_SHARED_DIR/clusterless-gpu-$i\""
    ! flock -n $((got + 3)) || { CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES:+$CUDA_VISIBLE_DEVICES,}$i got=$((got + 1)); }
    i=$((i + 1))
  done
  export CUDA_VISIBLE_DEVICES
fi
watchdogs=
watch() { # SECONDS MARK: ends the run then, and leaves the mark
  (
    trap 'kill $sleep' TERM # it would hold what the run holds, as GPUs
    sleep "$1" &
    sleep=$!
    wait $sleep || exit
    trap - TERM
    : >"$scratch.$2"
    kill -TERM $pid
    sleep 1
    kill -KILL $pid
  ) >/dev/null 2>&1 &
  watchdogs="$watchdogs $!"
}
if [ -z "$limit$time" ]; then
  "$@" 2>&1
  code=$?
else
  "$@" 2>&1 &
  pid=$!
  [ -z "$limit" ] || watch "$limit" late
  [ -z "$time" ] || watch "$time" ended
  wait $pid
  code=$?
  kill $watchdogs 2>/dev/null
fi
rm -rf "$scratch"
log=$AZ_BATCH_TASK_DIR/stdout.txt
[ -z "$keep" ] || [ ! -s "$log" ] || CLUSTERLESS_ROLE=log CLUSTERLESS_LOG="$log" "$@" >&2
[ ! -e "$scratch.late" ] || verdict timeout "ran longer than $limit s"
[ ! -e "$scratch.ended" ] || sleep 600 # the service ends the task in seconds, and says why; it tries a process that failed again
exit $code
