package node

import (
	"path"
	"strconv"
	"strings"
)

// searchPath is what nodes of Azure begin PATH with; the node's shared directory and the task's working directory follow.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment is what the process of a task gets. The names are those of Microsoft's page "Azure Batch runtime environment
// variables"; AZ_BATCH_TASK_USER, AZ_BATCH_TASK_USER_IDENTITY, AZ_BATCH_CERTIFICATES_DIR, HOME, USER and PATH were seen on nodes.
func (a *attempt) environment() []string {
	n, t := a.n, a.t
	root, dir := n.RootDir(), a.seen()
	wd := path.Join(dir, "wd")
	all := []Variable{
		{"PATH", searchPath + ":" + path.Join(root, "shared") + ":" + wd},
		{"HOME", wd},
		{"USER", a.user.name},
	}
	all = append(all, t.Environment...)
	all = append(all,
		Variable{"AZ_BATCH_ACCOUNT_NAME", n.c.Account},
		Variable{"AZ_BATCH_ACCOUNT_URL", n.c.AccountURL},
		Variable{"AZ_BATCH_POOL_ID", n.c.Pool},
		Variable{"AZ_BATCH_NODE_ID", n.c.ID},
		Variable{"AZ_BATCH_NODE_IS_DEDICATED", strconv.FormatBool(n.c.Dedicated)},
		Variable{"AZ_BATCH_NODE_ROOT_DIR", root},
		Variable{"AZ_BATCH_NODE_SHARED_DIR", path.Join(root, "shared")},
		Variable{"AZ_BATCH_NODE_STARTUP_DIR", path.Join(root, "startup")},
		Variable{"AZ_BATCH_NODE_MOUNTS_DIR", path.Join(root, "fsmounts")},
		Variable{"AZ_BATCH_CERTIFICATES_DIR", path.Join(dir, "certs")},
		Variable{"AZ_BATCH_TASK_DIR", dir},
		Variable{"AZ_BATCH_TASK_WORKING_DIR", wd},
		Variable{"AZ_BATCH_TASK_USER", a.user.name},
		Variable{"AZ_BATCH_TASK_USER_IDENTITY", a.user.identity},
	)
	if t.Kind != KindStart {
		all = append(all, Variable{"AZ_BATCH_JOB_ID", t.Job}, Variable{"AZ_BATCH_TASK_ID", t.ID})
	}
	if t.Preparation != "" {
		prep := path.Join(root, jobDir(t.Job), t.Preparation)
		all = append(all, Variable{"AZ_BATCH_JOB_PREP_DIR", prep}, Variable{"AZ_BATCH_JOB_PREP_WORKING_DIR", path.Join(prep, "wd")})
	}
	if t.AuthToken != "" {
		all = append(all, Variable{"AZ_BATCH_AUTHENTICATION_TOKEN", t.AuthToken})
	}
	all = append(all, a.applications...)
	if a.instance != nil {
		all = append(all, a.instance.variables(path.Join(root, taskDir(t.Job, t.ID)))...)
	}
	return entries(all)
}

// entries are NAME=VALUE, of several with one name the last.
func entries(all []Variable) []string {
	at := map[string]int{}
	var env []string
	for _, v := range all {
		if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") || strings.ContainsRune(v.Value, 0) {
			continue // no process can have it
		}
		entry := v.Name + "=" + v.Value
		if i, ok := at[v.Name]; ok {
			env[i] = entry
		} else {
			at[v.Name] = len(env)
			env = append(env, entry)
		}
	}
	return env
}

func jobDir(job string) string { return "workitems/" + job + "/job-1" }

func taskDir(job, task string) string { return jobDir(job) + "/" + task }

// flat is a name as Linux nodes have it in variables of application packages: id and version with all but letters, digits
// and underscores replaced.
func flat(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, s)
}
