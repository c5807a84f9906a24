# The agent: makes one run as a Batch task. The job's environment has this in CLUSTERLESS_AGENT, exports of the job's variables
# in CLUSTERLESS_ENVIRON, the words of the command in CLUSTERLESS_COMMAND, and perhaps a limit in seconds in CLUSTERLESS_LIMIT.
# The run's output is the task's stdout.txt; stderr.txt has what the agent says. Plain sh, since an image may have no other.
verdict() { # HOW WHY: what an exit code cannot say
  echo "clusterless: $1 $2" >&2
  exit 125
}
limit=$CLUSTERLESS_LIMIT
eval "set -- $CLUSTERLESS_COMMAND"
scratch=$AZ_BATCH_TASK_WORKING_DIR/scratch cache=$AZ_BATCH_NODE_SHARED_DIR/clusterless-cache
rm -rf "$scratch" # of a process that lost its node, or failed
mkdir -m 700 "$scratch" || verdict notstarted "no scratch directory on $AZ_BATCH_NODE_ID"
mkdir -m 700 "$cache" 2>/dev/null
[ -w "$cache" ] || cache=$scratch/cache # another user's
eval "$CLUSTERLESS_ENVIRON"
export CLUSTERLESS_TASK="${AZ_BATCH_TASK_ID%-*}" CLUSTERLESS_ATTEMPT="${AZ_BATCH_TASK_ID#*-}"
export CLUSTERLESS_SCRATCH="$scratch" CLUSTERLESS_CACHE="$cache" CLUSTERLESS_NODE="$AZ_BATCH_NODE_ID"
export CLUSTERLESS_BEGUN=1 # the service begins runs again, and tells nobody
unset CLUSTERLESS_AGENT CLUSTERLESS_ENVIRON CLUSTERLESS_COMMAND CLUSTERLESS_LIMIT
[ "$1" != "{program}" ] || { shift; set -- "$AZ_BATCH_JOB_PREP_WORKING_DIR/program" "$@"; }
command -v "$1" >/dev/null 2>&1 || verdict notstarted "cannot start $1 on $AZ_BATCH_NODE_ID: there is no such program, or it may not be run"
if [ -z "$limit" ]; then
  "$@" 2>&1
  code=$?
else
  "$@" 2>&1 &
  pid=$!
  (
    sleep "$limit"
    : >"$scratch.late"
    kill -TERM $pid
    sleep 1
    kill -KILL $pid
  ) >/dev/null 2>&1 &
  watchdog=$!
  wait $pid
  code=$?
  kill $watchdog 2>/dev/null
fi
rm -rf "$scratch"
[ ! -e "$scratch.late" ] || verdict timeout "ran longer than $limit s"
exit $code
