package azbatch

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/batch/azbatch"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/contract"
)

//go:embed agent.sh
var agent string

// prepare fetches the program and then unpacks it. unpack is all that is left where the service has fetched it: with the identity of a node.
//
//go:embed prepare.sh
var prepare string

const unpack = `set -e
rm -f program.new
gzip -dc program.gz >program.new
echo "$CLUSTERLESS_SHA256  program.new" | sha256sum -c
chmod 500 program.new
mv -f program.new program
rm -f program.gz
`

// Command lines of tasks. The service starts no shell, and how it splits a line is not specified in full, so they are short.
const (
	runAgent   = `/bin/sh -c 'eval "$(printf %b "$CLUSTERLESS_AGENT")"'`
	runPrepare = `/bin/sh -c 'eval "$(printf %b "$CLUSTERLESS_PREPARE")"'`
	idle       = `/bin/sh -c 'exit 0'`
)

// maxVariable is how long the value of a variable may be: Linux starts no process with one of more than 128 KiB (execve(2), MAX_ARG_STRLEN).
const maxVariable = 120 << 10

// agentCode is the agent's exit code when its stderr.txt says more.
const agentCode = 125

// programWord stands for the path that the preparation task has brought the program to.
const programWord = "{program}"

// environment is what the tasks of a job find in theirs.
func environment(job *engine.Job, nodes machine) []azbatch.EnvironmentSetting {
	command := job.Command
	if job.Program != nil {
		command = append([]string{programWord}, command[1:]...)
	}
	words := make([]string, len(command))
	for i, w := range command {
		words[i] = quote(w)
	}
	env := []azbatch.EnvironmentSetting{
		setting("CLUSTERLESS_AGENT", oneLine(agent)),
		setting("CLUSTERLESS_COMMAND", oneLine(strings.Join(words, " "))),
		setting("CLUSTERLESS_ENVIRON", exports(job)),
	}
	if job.Resources.GPUs > 0 && job.Resources.GPUs < nodes.gpus {
		env = append(env, setting("CLUSTERLESS_GPUS", strconv.Itoa(job.Resources.GPUs)), setting("CLUSTERLESS_NODE_GPUS", strconv.Itoa(nodes.gpus)))
	}
	if job.KeepLogs {
		env = append(env, setting("CLUSTERLESS_KEEP", "1"))
	}
	if job.Timeout > 0 {
		env = append(env, setting("CLUSTERLESS_LIMIT", strconv.FormatFloat(job.Timeout.Seconds(), 'f', -1, 64)))
	}
	return env
}

// exports are commands of the shell that set the job's variables, as oneLine writes them.
func exports(job *engine.Job) string {
	var b strings.Builder
	for _, v := range append([]string{contract.EnvJob + "=" + job.ID}, job.Env...) {
		name, value, _ := strings.Cut(v, "=")
		b.WriteString("export " + name + "=" + quote(value) + "\n")
	}
	return oneLine(b.String())
}

// oneLine writes a text so that printf %b of the shell gives it back. A variable of several lines does not pass through a file with one
// a line, by which programs that start containers take them (docker run --env-file).
func oneLine(s string) string { return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(s) }

func setting(name, value string) azbatch.EnvironmentSetting {
	return azbatch.EnvironmentSetting{Name: to.Ptr(name), Value: to.Ptr(value)}
}

// quote makes one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// preparation is the task that each node runs before its first of the job. Every task has the node's user of the pool, so that
// they can share the program and the cache.
func preparation(job *engine.Job, nodes machine) *azbatch.JobPreparationTask {
	p := &azbatch.JobPreparationTask{ID: to.Ptr("prepare"), CommandLine: to.Ptr(idle), UserIdentity: poolUser(), WaitForSuccess: to.Ptr(true),
		RerunOnNodeRebootAfterSuccess: to.Ptr(false), Constraints: &azbatch.TaskConstraints{MaxTaskRetryCount: to.Ptr[int32](2)}}
	if job.Program != nil {
		p.CommandLine = to.Ptr(runPrepare)
		p.EnvironmentSettings = []azbatch.EnvironmentSetting{setting("CLUSTERLESS_SHA256", job.Program.SHA256)}
		script := prepare + unpack
		if file := nodes.resource(job.Program.URL, "program.gz"); file.IdentityReference != nil {
			script, p.ResourceFiles = unpack, []azbatch.ResourceFile{file}
		} else {
			p.EnvironmentSettings = append(p.EnvironmentSettings, setting("CLUSTERLESS_PROGRAM", job.Program.URL))
		}
		p.EnvironmentSettings = append(p.EnvironmentSettings, setting("CLUSTERLESS_PREPARE", oneLine(script)))
	}
	return p
}

func poolUser() *azbatch.UserIdentity {
	return &azbatch.UserIdentity{AutoUser: &azbatch.AutoUserSpecification{Scope: to.Ptr(azbatch.AutoUserScopePool), ElevationLevel: to.Ptr(azbatch.ElevationLevelNonAdmin)}}
}
