package original

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Parameters are what parameters.json says, with the original's defaults for what it does not.
type Parameters struct {
	PoolID        string
	PoolCount     int
	NodesPerPool  int
	VMSize        string
	Image         string // "publisher:offer:sku"; "" for the newest, if the file names none or one that is gone
	BlobContainer string
	InterNode     bool
	Retries       int
	MPI           bool
	Container     string // image of a container; "" for none
	NodesPerTask  int
	ProcsPerNode  int
	Threads       int
}

// defaults are those of the original, for keys that mean something here. The image is ours: theirs is gone.
var defaults = map[string]string{
	"_POOL_ID": "BatchPool", "_POOL_COUNT": "1", "_NODE_COUNT_PER_POOL": "1", "_POOL_VM_SIZE": "Standard_E2s_v3",
	"_NODE_OS_PUBLISHER": "", "_NODE_OS_OFFER": "", "_NODE_OS_SKU": "",
	"_BLOB_CONTAINER": "azureclusterlesshpctemp", "_INTER_NODE_CONNECTION": "0", "_NUM_RETRYS": "0", "_MPI_RUN": "0", "_CONTAINER": "None",
	"_NUM_NODES_PER_TASK": "1", "_NUM_PROCS_PER_NODE": "1", "_OMP_NUM_THREADS": "1",
}

// ignored are keys of the original that mean nothing here, and why.
var ignored = map[string]string{
	"_JOB_ID":                 "jobs are named by the option Name, and deleted by name or prefix",
	"_STANDARD_OUT_FILE_NAME": "output is read with Job.Log or clusterless logs, whatever the file's name",
	"_VERBOSE":                "what a program says is the option Logger, and CLUSTERLESS_LOG",
	"_JULIA_DEPOT_PATH":       "it is for another language's runtime",
	"_JULIA_NUM_THREADS":      "it is for another language's runtime",
	"_PYTHONPATH":             "it is for another language's runtime",
}

func readParameters(given map[string]any, notes *[]string) (Parameters, error) {
	note := func(format string, args ...any) {
		*notes = append(*notes, parametersName+": "+fmt.Sprintf(format, args...))
	}
	text := maps.Clone(defaults)
	for _, k := range slices.Sorted(maps.Keys(given)) {
		v, ok := scalar(given[k])
		_, known := defaults[k]
		switch {
		case !known && ignored[k] != "":
			note("%s is ignored: %s", k, ignored[k])
		case !known:
			note("%s is ignored: it is not known", k)
		case !ok:
			return Parameters{}, fmt.Errorf("%s: want a text", k)
		case v != "":
			text[k] = v
		}
	}
	var bad error
	number := func(k string, least int) int {
		n, err := strconv.Atoi(text[k])
		if (err != nil || n < least) && bad == nil {
			bad = fmt.Errorf("%s: %q: want a number, at least %d", k, text[k], least)
		}
		return n
	}
	flag := func(k string) bool {
		on, err := strconv.ParseBool(text[k])
		if err != nil && bad == nil {
			bad = fmt.Errorf("%s: %q: want 0 or 1", k, text[k])
		}
		return on
	}
	p := Parameters{
		PoolID: text["_POOL_ID"], PoolCount: number("_POOL_COUNT", 1), NodesPerPool: number("_NODE_COUNT_PER_POOL", 1), VMSize: text["_POOL_VM_SIZE"],
		BlobContainer: text["_BLOB_CONTAINER"], InterNode: flag("_INTER_NODE_CONNECTION"), Retries: number("_NUM_RETRYS", 0), MPI: flag("_MPI_RUN"),
		NodesPerTask: number("_NUM_NODES_PER_TASK", 1), ProcsPerNode: number("_NUM_PROCS_PER_NODE", 1), Threads: number("_OMP_NUM_THREADS", 1),
	}
	if c := text["_CONTAINER"]; !strings.EqualFold(c, "None") {
		p.Container = c
	}
	if bad != nil {
		return p, bad
	}
	if p.NodesPerTask > 1 && !p.InterNode {
		return p, fmt.Errorf("_NUM_NODES_PER_TASK is %d, but _INTER_NODE_CONNECTION is 0: nodes of a task must be able to talk to each other: set it to 1, or use 1 node", p.NodesPerTask)
	}
	publisher, offer, sku := text["_NODE_OS_PUBLISHER"], text["_NODE_OS_OFFER"], text["_NODE_OS_SKU"]
	switch {
	case offer == "" && sku == "":
	case retired(offer):
		note("the image %s %s is gone from Azure: nodes run Ubuntu 24.04 instead", offer, sku)
	case publisher == "" || offer == "" || sku == "":
		return p, fmt.Errorf("_NODE_OS_PUBLISHER, _NODE_OS_OFFER and _NODE_OS_SKU belong together: give all three, or none for Ubuntu 24.04")
	default:
		p.Image = publisher + ":" + offer + ":" + sku
	}
	return p, nil
}

// retired reports whether an offer of Canonical has only images that Batch does not take any more: UbuntuServer is 18.04 and
// older, focal is 20.04, which ended in April 2025 (Azure/Batch#174, #180).
func retired(offer string) bool {
	offer = strings.ToLower(offer)
	return offer == "ubuntuserver" || strings.Contains(offer, "focal")
}
