package azbatch

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/clusterless-go/clusterless/engine"
)

// The service knows slots only. What a run needs of a node's memory and GPUs is written as the share of the node's slots that has
// as much, so that what runs there together fits.

// systemMemory is what a node needs for itself.
const systemMemory = 1 << 30

// sizeParts are the family, the number that says how large it is, and what follows, of the name of a VM size: D, 4, s_v5.
var sizeParts = regexp.MustCompile(`^(?i:Standard)_([A-Za-z]+?)(\d+)(?:-\d+)?([a-z]*)(?:_|$)`)

// sizeVersion is the version that ends the name.
var sizeVersion = regexp.MustCompile(`(?i)_v(\d+)$`)

// memoryOf is the memory of a node, as far as the name of its VM size says so: GiB for each of its cores, before some are switched
// off, by family. 0: it does not say. (Microsoft: "Sizes for virtual machines in Azure", series D and E from version 3 on, F of
// version 2, L from version 2 on. Large ones of E have less than 8 GiB for each core, from 32 cores on those with an Arm processor.)
func memoryOf(size string) int64 {
	m := sizeParts.FindStringSubmatch(size)
	version := sizeVersion.FindStringSubmatch(size)
	if m == nil || version == nil {
		return 0
	}
	cores, _ := strconv.Atoi(m[2])
	v, _ := strconv.Atoi(version[1])
	has := func(letter string) bool { return strings.Contains(strings.ToLower(m[3]), letter) }
	each := 0
	switch family := strings.ToUpper(m[1]); {
	case family == "D" && v >= 3 && has("l"), family == "F" && v == 2:
		each = 2
	case family == "D" && v >= 3:
		each = 4
	case family == "E" && v >= 3 && cores <= 48 && !(has("p") && cores >= 32), family == "L" && v >= 2:
		each = 8
	}
	return int64(cores*each) << 30
}

// gpusOf is how many whole GPUs a node has, by the names of VM sizes; 0: none, or a part of one, or not known here. (Microsoft:
// "GPU accelerated virtual machine sizes".)
func gpusOf(size string) int {
	for _, s := range []struct {
		series string
		cores  int // of one GPU
	}{
		{`NC\d+ads_A100_v4`, 24}, {`NC\d+ads_H100_v5`, 40}, {`NC\d+adis_H100_v5`, 40},
		{`NC\d+as_T4_v3`, 16}, {`NC\d+r?s_v3`, 6}, {`ND\d+[a-z]*_((A100|H100|H200|MI300X)_)?v[45]`, 12},
	} {
		if regexp.MustCompile(`^(?i:Standard_` + s.series + `)$`).MatchString(size) {
			return max(1, coresOf(size)/s.cores)
		}
	}
	return 0
}

// slotsFor is how many slots a run takes. It refuses one that no node has room for, or of which that is not known.
func (m machine) slotsFor(r engine.Resources, pool string) (int, error) {
	refuse := func(format string, args ...any) (int, error) {
		return 0, fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), engine.ErrCannotRun)
	}
	need := max(1, r.Cores)
	if m.slots == 1 && need <= coresOf(m.size) { // it has its node to itself
		need = 1
	}
	if need > m.slots {
		return refuse("a run needs %d slots, one for each core, and nodes of the pool %s have %d: name another pool, or create one with more slots for each node", need, pool, m.slots)
	}
	if r.Memory > 0 {
		has := m.memory - systemMemory
		switch {
		case m.memory == 0:
			return refuse("a run needs %s of memory, and how much a node of %s has is not known: say so with the setting nodememory, as in nodememory=64G", gib(r.Memory), m.size)
		case r.Memory > has:
			return refuse("a run needs %s of memory, and a node of the pool %s (%s) has %s, 1 GiB of them for itself: name a pool of larger nodes", gib(r.Memory), pool, m.size, gib(m.memory))
		}
		need = max(need, share(r.Memory, has, m.slots))
	}
	if r.GPUs > 0 {
		switch {
		case m.gpus == 0:
			return refuse("a run needs GPUs, and nodes of the pool %s (%s) have none that is known: name another pool, or say how many a node has with the setting nodegpus", pool, m.size)
		case r.GPUs > m.gpus:
			return refuse("a run needs %d GPUs, and nodes of the pool %s (%s) have %d: name another pool", r.GPUs, pool, m.size, m.gpus)
		}
		need = max(need, share(int64(r.GPUs), int64(m.gpus), m.slots))
	}
	return need, nil
}

// share is how many of all slots go with a part of the whole.
func share(part, whole int64, slots int) int {
	return int((part*int64(slots) + whole - 1) / whole)
}

func gib(bytes int64) string { return fmt.Sprintf("%.3g GiB", float64(bytes)/(1<<30)) }

// writeNeeds is what a Batch job keeps of what its runs need, for who hands them over to other nodes; "" if it is in the tasks.
func writeNeeds(r engine.Resources) string {
	if r.Memory == 0 && r.GPUs == 0 {
		return ""
	}
	return fmt.Sprintf("%d %d %d", r.Cores, r.Memory, r.GPUs)
}

func parseNeeds(s string) (r engine.Resources) {
	fmt.Sscan(s, &r.Cores, &r.Memory, &r.GPUs)
	return r
}

// parseMemory reads a number of bytes, or one with K, M, G or T behind it.
func parseMemory(s string) (int64, error) {
	n := strings.TrimRight(s, "KMGT")
	unit, known := map[string]int64{"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}[s[len(n):]]
	v, err := strconv.ParseInt(n, 10, 64)
	if err != nil || !known || v <= 0 || v > 1<<62/unit {
		return 0, fmt.Errorf("want a number of bytes above 0, or one with K, M, G or T behind it, as 64G")
	}
	return v * unit, nil
}
