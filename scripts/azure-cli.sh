#!/usr/bin/env bash
# Has the Azure CLI run a pool, a job and its tasks on the emulator, read what they wrote, and delete it all, over SharedKey.
# Installs Debian's azure-cli where there is no az: 18 MB to load, 660 MB on the disk.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v az >/dev/null; then
	root=()
	[ "$(id -u)" = 0 ] || root=(sudo -n)
	echo "== install azure-cli"
	"${root[@]}" apt-get update -qq
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends azure-cli
fi

dir=$(mktemp -d)
chmod 755 "$dir" # the users of tasks have to get through
emulator=
finish() {
	status=$?
	trap - EXIT
	if [ -n "$emulator" ]; then
		kill "$emulator" 2>/dev/null || true
		wait "$emulator" || true
	fi
	if [ "$status" != 0 ] && [ -s "$dir/log" ]; then sed "s/^/emulator: /" "$dir/log" >&2; fi
	rm -rf "$dir"
	exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM

fail() {
	echo "azure-cli: $*" >&2
	exit 1
}

# until_is WANT COMMAND... repeats a command until it prints what is wanted.
until_is() {
	local want=$1 got= i
	shift
	for ((i = 0; i < 120; i++)); do
		got=$("$@")
		[ "$got" = "$want" ] && return
		sleep 0.5
	done
	fail "$* prints '$got', and never '$want'"
}

# is GOT WANT WHAT fails when two texts differ.
is() {
	[ "$1" = "$2" ] || fail "$3: got '$1', want '$2'"
}

echo "== start the emulator"
${GO:-go} build -o "$dir/clusterless" ./cmd/clusterless
"$dir/clusterless" emulator --listen 127.0.0.1:0 --state "$dir/state" >"$dir/out" 2>"$dir/log" &
emulator=$!
for ((i = 0; i < 300; i++)); do
	! grep -qs "^# The key" "$dir/out" || break # the last that it prints of itself
	kill -0 "$emulator" 2>/dev/null || fail "the emulator did not start"
	sleep 0.1
done
set -a
. <(grep "^AZURE_BATCH_" "$dir/out")
. <(grep "^AZURE_BATCH_" "$dir/state/environment") # the key, which the CLI reads from there, and stands in no argument list
AZURE_CONFIG_DIR=$dir/config AZURE_CORE_COLLECT_TELEMETRY=0 AZURE_CORE_ONLY_SHOW_ERRORS=1 AZURE_CORE_NO_COLOR=1
set +a
batch() { az batch "$@" --account-endpoint "$AZURE_BATCH_ENDPOINT" --account-name "$AZURE_BATCH_ACCOUNT" -o tsv; }

echo "== pool"
batch pool create --id pool --vm-size standard_d2s_v3 --target-dedicated-nodes 1 --task-slots-per-node 4 \
	--image canonical:ubuntu-24_04-lts:server --node-agent-sku-id "batch.node.ubuntu 24.04" \
	--start-task-command-line "/bin/sh -c 'echo started'" --start-task-wait-for-success
until_is idle batch node list --pool-id pool --query "[].state"
node=$(batch node list --pool-id pool --query "[].id")
is "$(batch pool show --pool-id pool --query "[vmSize, currentDedicatedNodes, state]" | xargs)" "standard_d2s_v3 1 active" "the pool"
batch node file download --pool-id pool --node-id "$node" --file-path startup/stdout.txt --destination "$dir/started"
is "$(cat "$dir/started")" started "stdout of the start task"

echo "== job and tasks"
batch job create --id job --pool-id pool
batch task create --job-id job --task-id hello --command-line "/bin/sh -c 'echo hello from \$AZ_BATCH_TASK_ID'" --query id >/dev/null
cat >"$dir/tasks.json" <<'END'
[
  {"id": "fails", "commandLine": "/bin/sh -c 'echo no >&2; exit 3'"},
  {"id": "stops", "commandLine": "/bin/sleep 600"}
]
END
batch task create --job-id job --json-file "$dir/tasks.json" --query "[].status" >/dev/null
for task in hello fails; do
	until_is completed batch task show --job-id job --task-id "$task" --query state
done
is "$(batch task show --job-id job --task-id fails --query "[executionInfo.exitCode, executionInfo.result]" | xargs)" "3 failure" "the task that fails"
batch task file list --job-id job --task-id hello --query "[].name" | grep -qx stdout.txt || fail "the files of the task have no stdout.txt"
batch task file download --job-id job --task-id hello --file-path stdout.txt --destination "$dir/hello"
is "$(cat "$dir/hello")" "hello from hello" "stdout of the task"
batch task file download --job-id job --task-id fails --file-path stderr.txt --destination "$dir/fails"
is "$(cat "$dir/fails")" no "stderr of the task that fails"
batch task stop --job-id job --task-id stops
until_is completed batch task show --job-id job --task-id stops --query state
is "$(batch task list --job-id job --query "length(@)")" 3 "the number of tasks"
is "$(batch job task-counts show --job-id job --query "taskCounts.[completed, succeeded, failed]" | xargs)" "3 1 2" "the counts of tasks"

echo "== autoscale"
batch pool autoscale enable --pool-id pool --auto-scale-formula '$TargetDedicatedNodes=1' --auto-scale-evaluation-interval PT5M
is "$(batch pool autoscale evaluate --pool-id pool --auto-scale-formula '$TargetDedicatedNodes=2+1; x=vec(1,2)' --query results)" \
	'$TargetDedicatedNodes=3;$TargetLowPriorityNodes=0;$NodeDeallocationOption=requeue;x=[1,2]' "the evaluated formula"

echo "== errors"
if AZURE_BATCH_ACCESS_KEY=$(printf wrong | base64) batch pool list 2>"$dir/error"; then fail "a wrong key is as good as the right one"; fi
grep -qi "authenticat" "$dir/error" || fail "a wrong key gives: $(cat "$dir/error")"
if batch job show --job-id nowhere 2>"$dir/error"; then fail "there is a job nowhere"; fi
grep -q "The specified job does not exist" "$dir/error" || fail "a job that does not exist gives: $(cat "$dir/error")"

echo "== delete"
batch task delete --job-id job --task-id hello --yes
is "$(batch task list --job-id job --query "length(@)")" 2 "the number of tasks"
batch job delete --job-id job --yes
until_is "" batch job list --query "[].id"
batch pool delete --pool-id pool --yes
until_is "" batch pool list --query "[].id"
echo "== the Azure CLI and the emulator get on"
