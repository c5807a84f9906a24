package archtest

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is what the import paths of our packages begin with.
const module = "github.com/clusterless-go/clusterless"

// A rule says what a package may import of ours. Packages are named by their directory; the root is ".". A name that
// ends in "/..." stands for a directory and all below it.
type rule struct {
	may   []string // in any file
	tests []string // in test files as well
	why   string
}

// rules are complete: a package that is not here fails the test, so that its place is decided and not found.
var rules = map[string]rule{
	".": {
		may: []string{"codec", "store", "engine", "internal/cache", "internal/config", "internal/contract", "internal/ledger", "internal/plan", "internal/program", "internal/spelling", "internal/team", "internal/track", "internal/waiting", "internal/worker",
			"engine/local", "store/filestore"},
		tests: []string{"engine/enginetest", "store/memstore", "store/storetest", "internal/cache"},
		why:   "it ties the parts together; of the drivers it has only the embedded default: others register themselves when the user imports them",
	},
	"codec":              {why: "values and bytes know nothing of jobs, so that the format can be read and tested alone"},
	"store":              {may: []string{"internal/spelling"}, tests: []string{"store/filestore", "store/memstore", "store/storetest"}, why: "the seam is what all drivers share; it has none of them"},
	"engine":             {may: []string{"store", "internal/spelling"}, tests: []string{"engine/local", "engine/enginetest"}, why: "the seam is what all drivers share; it has none of them"},
	"internal/plan":      {why: "what is written in the store is pure data: whoever reads it needs no running part of the system"},
	"internal/track":     {may: []string{"internal/plan", "internal/ledger", "internal/contract", "engine", "store"}, tests: []string{"engine/local", "store/memstore", "store/filestore"}, why: "it follows a job from bytes and events; it knows no types and makes no calls"},
	"internal/config":    {may: []string{"internal/original", "internal/spelling"}, why: "it reads files: what engines make of them is theirs to know"},
	"internal/original":  {why: "it reads two files; what logs in with what they say is for others, so that programs without Azure need no SDK"},
	"internal/azuretest": {tests: []string{".", "emulator", "engine", "engine/azbatch", "internal/azurite", "progress", "store", "store/blobstore", "store/filestore"}, why: "whole programs on Azure, as a user could write them; only tests are in it"},
	"internal/azerror":   {why: "what services of Azure say, for all who ask them"},
	"internal/azlogin":   {may: []string{"internal/original"}, why: "engine and store of one cloud log in the same way; it knows neither"},
	"internal/azwait":    {may: []string{"internal/azerror", "internal/waiting"}, why: "engine and store of one cloud wait in the same way; it knows neither"},
	"internal/waiting":   {why: "whoever waits is told by whatever is waited for: neither is to know the other"},
	"internal/price":     {why: "it reads a table; what nodes there are is for others to know"},
	"internal/contract": {
		why: "engines and workers agree on it and on nothing else: it must not pull one into the other",
	},
	"internal/ledger":  {may: []string{"internal/plan", "engine", "store"}, tests: []string{"store/memstore", "store/filestore"}, why: "it reads a job from the store, for client and worker alike; of engines it knows that they have logs"},
	"internal/azurite": {why: "it starts a server for tests of anything that talks to one"},
	"internal/cache":   {may: []string{"store"}, tests: []string{"store/memstore", "store/filestore"}, why: "it keeps blobs of a store on a node, whatever they mean"},
	"internal/program": {may: []string{"internal/plan", "store"}, tests: []string{"store/memstore", "store/filestore"}, why: "it finds, builds and stores an executable; what runs it is no concern of it"},
	"internal/worker": {
		may:   []string{"internal/plan", "internal/ledger", "internal/contract", "internal/cache", "internal/team", "codec", "store"},
		tests: []string{"store/memstore", "store/filestore"},
		why:   "a worker is the same under every engine: it never imports engine",
	},
	"internal/team":     {may: []string{"internal/plan", "internal/contract"}, why: "it starts the processes of a task and carries bytes between them; what they do, and what bytes mean, is no concern of it"},
	"internal/spelling": {why: "it compares words, whatever they name"},
	"internal/archtest": {why: "it reads the others as text"},

	"store/filestore":              {may: []string{"store"}, tests: []string{"store/storetest"}, why: "a driver knows its seam, never the root nor another driver"},
	"store/blobstore":              {may: []string{"store", "internal/azlogin", "internal/azwait"}, tests: []string{"store/storetest", "store/filestore", "internal/azurite"}, why: "a driver knows its seam, never the root nor another driver"},
	"store/memstore":               {may: []string{"store"}, tests: []string{"store/storetest"}, why: "a driver knows its seam, never the root nor another driver"},
	"store/storetest":              {may: []string{"store"}, why: "the suite tests what the seam promises, of any driver"},
	"engine/local":                 {may: []string{"engine", "internal/contract", "internal/spelling"}, tests: []string{"engine/enginetest"}, why: "a driver knows its seam and the contract with workers, never the root nor another driver"},
	"engine/slurm":                 {may: []string{"engine", "internal/contract", "internal/spelling"}, tests: []string{"engine/enginetest", "internal/slurmtest"}, why: "a driver knows its seam and the contract with workers, never the root nor another driver"},
	"engine/azbatch":               {may: []string{"engine", "internal/azerror", "internal/azlogin", "internal/azwait", "internal/contract", "internal/price"}, tests: []string{"engine/enginetest", "emulator"}, why: "a driver knows its seam and the contract with workers, never the root nor another driver; of the emulator it must know nothing"},
	"engine/azbatch/managed":       {may: []string{"engine/azbatch"}, tests: []string{"emulator", "engine", "engine/enginetest", "internal/account/accounttest"}, why: "it makes pools for one driver by another service, whose client programs that do not need it are not to link"},
	"internal/account":             {may: []string{"internal/azerror"}, tests: []string{"internal/account/accounttest"}, why: "it makes accounts; what runs in them is no concern of it"},
	"internal/account/accounttest": {why: "it stands for Azure's management in tests of anything that talks to it"},
	"internal/sites":               {may: []string{".", "emulator", "engine/azbatch", "engine/slurm", "internal/azurite", "internal/slurmtest", "store/blobstore"}, why: "it opens sessions for tests, as a user would"},
	"internal/slurmtest":           {why: "it starts a cluster for tests, and knows nothing of ours"},
	"engine/enginetest":            {may: []string{"engine", "internal/contract"}, why: "the suite tests what the seam promises, of any driver"},

	"emulator/internal/azbatchsuite": {may: []string{"emulator", "emulator/internal/apicheck", "emulator/internal/tlscert"}, why: "it starts what any user can start, and lets a suite of others and the API's description judge it"},
	"emulator/internal/apicheck":     {why: "it compares exchanges with the description of the API, whoever makes them"},
	"emulator/internal/autoscale":    {why: "a formula is computed from what it is given: it knows no pool and no service"},

	"emulator": {
		may: []string{"emulator/internal/auth", "emulator/internal/faults", "emulator/internal/rest", "emulator/internal/service", "emulator/internal/tlscert", "emulator/internal/wire",
			"emulator/internal/apierror"},
		tests: []string{"emulator/internal/apicheck"},
		why:   "it is a service for anybody's clients: it must not share anything with ours, or they would understand each other by accident",
	},
	"emulator/internal/service": {
		may: []string{"emulator/internal/apierror", "emulator/internal/autoscale", "emulator/internal/clock", "emulator/internal/model", "emulator/internal/node", "emulator/internal/odata"},
		why: "the service has no HTTP: what a request looks like is for rest",
	},
	"emulator/internal/rest": {
		may: []string{"emulator/internal/apierror", "emulator/internal/model", "emulator/internal/odata", "emulator/internal/service", "emulator/internal/wire"},
		why: "it is the API's form, and has no state",
	},
	"emulator/internal/node": {
		may: []string{"emulator/internal/keeper"}, tests: []string{"internal/azurite"},
		why: "a node does what it is told: it knows no pool, no queue and no API",
	},
	"emulator/internal/keeper": {why: "it runs a command and ends it, whatever it is for"},
	"emulator/internal/model":  {may: []string{"emulator/internal/apierror"}, why: "bodies are pure data"},
	"emulator/internal/clock":  {why: "time knows nothing of what happens in it"},

	"emulator/internal/apierror": {why: "errors are the words that all parts of the service share"},
	"emulator/internal/wire":     {may: []string{"emulator/internal/apierror"}, why: "it frames answers, whatever they are about"},
	"emulator/internal/odata":    {may: []string{"emulator/internal/apierror", "emulator/internal/wire"}, why: "queries know fields, not what has them"},
	"emulator/internal/auth":     {may: []string{"emulator/internal/apierror", "emulator/internal/wire"}, why: "who may ask is decided before anybody knows what is asked"},
	"emulator/internal/faults":   {may: []string{"emulator/internal/apierror", "emulator/internal/wire"}, why: "what goes wrong on request stands before the service and knows nothing in it"},
	"emulator/internal/tlscert":  {why: "a certificate is for any server"},

	"task":             {may: []string{".", "codec", "internal/team"}, tests: []string{"internal/sites"}, why: "beyond the public API it knows how the processes of a task are started"},
	"mpi":              {may: []string{".", "codec", "internal/contract", "internal/plan", "internal/team", "mpi/internal/..."}, tests: []string{"internal/sites"}, why: "beyond the public API it knows how the processes of a task are started"},
	"mpi/internal/lib": {why: "the binding of a C library knows nothing of tasks"},

	"vet":             {may: []string{"codec"}, why: "it reads programs as text: it never runs one"},
	"progress":        {may: []string{"."}, why: "a display sees what any user of the public API sees"},
	"cmd/clusterless": {may: []string{".", "engine", "emulator", "engine/azbatch", "engine/azbatch/managed", "engine/slurm", "internal/account", "internal/config", "internal/contract", "internal/price", "progress", "store/blobstore", "vet"}, tests: []string{"internal/account/accounttest", "internal/azurite", "internal/slurmtest"}, why: "the command line sees what any user of the public API sees"},
	"bench":           {may: []string{".", "codec", "emulator", "engine/azbatch", "store", "store/blobstore", "store/filestore", "engine/slurm", "internal/azurite", "internal/slurmtest"}, why: "it measures what users can call"},
	"bench/mpibench":  {may: []string{".", "mpi", "task"}, why: "it measures what users can call"},
	"scripts/gotest":  {why: "a tool of the build needs nothing that it builds"},

	"examples/heat":           {may: []string{".", "engine/azbatch", "engine/slurm", "mpi", "store/blobstore"}, tests: []string{"internal/sites"}, why: "examples are what a user could write"},
	"examples/nestedmap":      {may: []string{".", "engine/azbatch", "engine/slurm", "task", "store/blobstore"}, tests: []string{"internal/sites"}, why: "examples are what a user could write"},
	"examples/ring":           {may: []string{".", "engine/azbatch", "engine/slurm", "mpi", "store/blobstore"}, tests: []string{"internal/sites"}, why: "examples are what a user could write"},
	"examples/quickstart":     {may: []string{".", "engine/azbatch", "engine/slurm", "progress", "store/blobstore"}, tests: []string{"emulator", "internal/azurite", "internal/slurmtest"}, why: "examples are what a user could write"},
	"examples/seismic":        {may: []string{".", "engine/azbatch", "engine/slurm", "progress", "store/blobstore", "examples/seismic/..."}, tests: []string{"emulator", "internal/azurite", "internal/slurmtest"}, why: "examples are what a user could write"},
	"examples/seismic/figure": {why: "drawing knows nothing of tasks"},
	"examples/seismic/wave":   {why: "the physics knows nothing of tasks"},
}

func TestImports(t *testing.T) {
	all := parse(t)
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		r, known := rules[dir]
		if !known {
			t.Errorf("package %s has no rule: decide what it may import and add it to the rules here, with the reason", dir)
			continue
		}
		for _, f := range all[dir] {
			may := slices.Concat(r.may, []string{dir})
			if f.test {
				may = append(may, r.tests...)
			}
			for _, to := range f.ours() {
				if !allowed(may, to) {
					t.Errorf("%s imports %s, and may import %s: %s", f.name, to, list(may[:len(may)-1]), r.why)
				}
			}
		}
	}
	for dir, r := range rules {
		if all[dir] == nil {
			t.Errorf("there is a rule for package %s, but no such package", dir)
		}
		if r.why == "" {
			t.Errorf("the rule for package %s has no reason", dir)
		}
	}
}

func TestCommandsAndExamplesAreImportedByNobody(t *testing.T) {
	for dir, r := range rules {
		for _, to := range slices.Concat(r.may, r.tests) {
			top, _, _ := strings.Cut(to, "/")
			if (top == "cmd" || top == "examples" || top == "bench" || top == "scripts") && !strings.HasPrefix(to, dir+"/") {
				t.Errorf("the rule for %s allows %s", dir, to)
			}
		}
	}
}

func allowed(may []string, to string) bool {
	return slices.ContainsFunc(may, func(m string) bool {
		if below, ok := strings.CutSuffix(m, "/..."); ok {
			return to == below || strings.HasPrefix(to, below+"/")
		}
		return to == m
	})
}

func list(names []string) string {
	if len(names) == 0 {
		return "nothing of ours"
	}
	return fmt.Sprintf("%q", names)
}

// ours are the directories of our packages that the file imports.
func (f *file) ours() (dirs []string) {
	for _, i := range f.ast.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue
		}
		if p == module {
			dirs = append(dirs, ".")
		} else if rest, ok := strings.CutPrefix(p, module+"/"); ok {
			dirs = append(dirs, path.Clean(rest))
		}
	}
	return dirs
}
