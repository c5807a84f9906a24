package account_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage/v2"

	"github.com/clusterless-go/clusterless/internal/account"
	"github.com/clusterless-go/clusterless/internal/account/accounttest"
)

func client(t *testing.T, cloud *accounttest.Cloud) *account.Client {
	t.Helper()
	c, err := account.New(accounttest.Subscription, cloud, cloud.Options())
	if err != nil {
		t.Fatal(err)
	}
	account.PollFast(c)
	return c
}

var setup = account.Setup{Name: "hpc", Regions: []string{"westeurope", "northeurope"}}

// up makes a plan, runs it, and returns what was left to be done in it.
func up(t *testing.T, c *account.Client) (done []string, err error) {
	t.Helper()
	p, err := c.Up(t.Context(), setup)
	if err != nil {
		t.Fatal(err)
	}
	var todo []string
	for _, s := range p.Steps {
		if !s.Done {
			todo = append(todo, s.What)
		}
	}
	err = p.Run(t.Context(), func(s account.Step) { done = append(done, s.What) })
	if err == nil && !slices.Equal(done, todo) {
		t.Errorf("done: %q, planned: %q", done, todo)
	}
	return done, err
}

func TestUpAndDelete(t *testing.T) {
	t.Parallel()
	cloud := accounttest.New()
	cloud.Slow = true
	c := client(t, cloud)
	plan, err := c.Up(t.Context(), setup)
	if err != nil || plan.Empty() || len(cloud.Changes) > 0 {
		t.Fatalf("a plan alone changed something, or has nothing to do: %q, %v", cloud.Changes, err)
	}
	done, err := up(t, c)
	if err != nil {
		t.Fatal(err)
	}
	regions := c.Regions(setup)
	for _, want := range []string{"registration of Microsoft.Batch", "resource group hpc in westeurope", "identity hpc-nodes", "storage account " + regions[0].Storage + " in westeurope",
		"Batch account " + regions[1].Storage + " in northeurope", "role Storage Blob Data Contributor of the nodes on " + regions[1].Storage, "role Azure Batch Data Contributor of you"} {
		if !slices.ContainsFunc(done, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("not done: %s; but %q", want, done)
		}
	}
	roles := map[string]int{}
	for id, thing := range cloud.Things {
		switch says := thing.Says.(type) {
		case *armauthorization.RoleAssignmentProperties:
			roles[*says.PrincipalID]++
		case *armstorage.AccountPropertiesCreateParameters:
			if *says.AllowSharedKeyAccess || *says.AllowBlobPublicAccess {
				t.Errorf("%s lets in who has a key, or anybody", id)
			}
		}
		if thing.Type != "" && (thing.Tags[account.Tag] == nil || *thing.Tags[account.Tag] != "hpc") {
			t.Errorf("%s has no tag", id)
		}
	}
	if roles[accounttest.Me] != 6 || len(roles) != 2 {
		t.Errorf("role assignments by principal: %v", roles)
	}

	// A second run, also by another process, has nothing to do.
	before := len(cloud.Changes)
	if done, err := up(t, client(t, cloud)); err != nil || len(done) > 0 || len(cloud.Changes) != before {
		t.Errorf("a second run did %q, %v", done, err)
	}
	found, err := c.Found(t.Context())
	if err != nil || len(found) != 2 || !slices.Contains(found, regions[0]) || !slices.Contains(found, regions[1]) {
		t.Errorf("found %+v, %v, want %+v", found, err, regions)
	}

	for _, want := range []int{6, 0} { // 2 Batch accounts, 2 storage accounts, identity, group
		p, err := c.Delete(t.Context(), "hpc")
		if err != nil || len(p.Steps) != want || p.Empty() != (want == 0) {
			t.Fatalf("the plan to delete: %+v, %v, want %d steps", p, err, want)
		}
		if err := p.Run(t.Context(), func(account.Step) {}); err != nil {
			t.Fatal(err)
		}
	}
	if left := slices.DeleteFunc(cloud.List(), func(id string) bool { return strings.HasPrefix(id, "/providers/") }); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// Whatever fails half-way: what was done stays, the error names the step, and a second run does what is left, no more.
func TestFailsHalfWay(t *testing.T) {
	t.Parallel()
	whole := accounttest.New()
	if _, err := up(t, client(t, whole)); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"/providers/Microsoft.Storage", "resourceGroups/hpc", "hpc-nodes", "storageAccounts/", "containers/clusterless", "batchAccounts/", "roleAssignments/"} {
		cloud := accounttest.New()
		cloud.Fail = at
		first, err := up(t, client(t, cloud))
		if err == nil || !strings.Contains(err.Error(), "SomethingFailed") || strings.Contains(err.Error(), "\n") {
			t.Errorf("with a failure at %s: %v", at, err)
		}
		second, err := up(t, client(t, cloud))
		if err != nil || slices.ContainsFunc(second, func(s string) bool { return slices.Contains(first, s) }) {
			t.Errorf("after a failure at %s, which had done %q, a second run did %q, %v", at, first, second, err)
		}
		if got, want := cloud.List(), whole.List(); !slices.Equal(got, want) {
			t.Errorf("after a failure at %s there is %q, want %q", at, got, want)
		}
		for _, fail := range []string{"batchAccounts/", "hpc-nodes", "storageAccounts/"} {
			cloud.Fail = fail
			c := client(t, cloud)
			p, err := c.Delete(t.Context(), "hpc")
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Run(t.Context(), func(account.Step) {}); err == nil {
				t.Errorf("a failure to delete %s is none", fail)
			}
		}
		p, err := client(t, cloud).Delete(t.Context(), "hpc")
		if err == nil {
			err = p.Run(t.Context(), func(account.Step) {})
		}
		if left := cloud.List(); err != nil || slices.ContainsFunc(left, func(id string) bool { return strings.Contains(id, "hpc") }) {
			t.Errorf("after failures to delete there is left: %q, %v", left, err)
		}
	}
}

// What others have made stays.
func TestDeleteLeavesOthers(t *testing.T) {
	t.Parallel()
	group := "/subscriptions/" + accounttest.Subscription + "/resourceGroups/hpc"
	for name, things := range map[string]map[string]accounttest.Thing{
		"group":    {group: {Region: "westeurope"}},
		"resource": {group: {Region: "westeurope", Tags: map[string]*string{account.Tag: to.Ptr("hpc")}}, group + "/providers/Microsoft.Storage/storageAccounts/other": {Type: "Microsoft.Storage/storageAccounts"}},
		"tags that were handed on": {group: {Region: "westeurope", Tags: map[string]*string{account.Tag: to.Ptr("hpc")}},
			group + "/providers/Microsoft.Storage/storageAccounts/other": {Type: "Microsoft.Storage/storageAccounts", Region: "westeurope", Tags: map[string]*string{account.Tag: to.Ptr("hpc")}}},
		"kind": {group: {Region: "westeurope", Tags: map[string]*string{account.Tag: to.Ptr("hpc")}},
			group + "/providers/Microsoft.Compute/disks/d": {Type: "Microsoft.Compute/disks", Tags: map[string]*string{account.Tag: to.Ptr("hpc")}}},
	} {
		cloud := accounttest.New()
		for id, thing := range things {
			cloud.Things[id] = thing
		}
		c := client(t, cloud)
		if _, err := up(t, c); err != nil {
			t.Fatal(err)
		}
		p, err := c.Delete(context.Background(), "hpc")
		if err == nil {
			err = p.Run(t.Context(), func(account.Step) {})
		}
		left := slices.DeleteFunc(cloud.List(), func(id string) bool { return strings.HasPrefix(id, "/providers/") })
		if err != nil || len(left) != len(things) || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "stays") {
			t.Errorf("%s: left %q, %q, %v", name, left, p.Notes, err)
		}
	}
}

// Between the plan and the answer to the question somebody may have put something into the group.
func TestDeleteLeavesWhatCameLater(t *testing.T) {
	t.Parallel()
	cloud := accounttest.New()
	c := client(t, cloud)
	if _, err := up(t, c); err != nil {
		t.Fatal(err)
	}
	p, err := c.Delete(t.Context(), "hpc")
	if err != nil {
		t.Fatal(err)
	}
	disk := "/subscriptions/" + accounttest.Subscription + "/resourceGroups/hpc/providers/Microsoft.Compute/disks/d"
	cloud.Things[disk] = accounttest.Thing{Type: "Microsoft.Compute/disks"}
	if err := p.Run(t.Context(), func(account.Step) {}); err == nil || !strings.Contains(err.Error(), "1 things in it now that are not ours") || !slices.Contains(cloud.List(), disk) {
		t.Errorf("with a disk that came later: %v; left: %q", err, cloud.List())
	}
}

// An account that was not wholly made, because somebody interrupted it or it failed, is not taken for one.
func TestHalfMade(t *testing.T) {
	t.Parallel()
	cloud := accounttest.New()
	c := client(t, cloud)
	if _, err := up(t, c); err != nil {
		t.Fatal(err)
	}
	n := 0
	for id, thing := range cloud.Things {
		if strings.Contains(thing.Type, "Accounts") {
			thing.State = "Failed"
			cloud.Things[id] = thing
			n++
		}
	}
	if done, err := up(t, c); err != nil || n != 4 || len(slices.DeleteFunc(done, func(s string) bool { return !strings.Contains(s, " account ") })) != 4 {
		t.Errorf("of %d accounts that failed, were made again: %q, %v", n, done, err)
	}
	if done, err := up(t, c); err != nil || len(done) > 0 {
		t.Errorf("a third run did %q, %v", done, err)
	}
}

func TestBadSetups(t *testing.T) {
	t.Parallel()
	c := client(t, accounttest.New())
	for want, s := range map[string]account.Setup{
		"letters":     {Name: "1st", Regions: []string{"westeurope"}},
		"no region":   {Name: "a"},
		"West Europe": {Name: "a", Regions: []string{"West Europe"}},
		"twice":       {Name: "a", Regions: []string{"westeurope", "westeurope"}},
	} {
		if _, err := c.Up(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
	for _, name := range []string{"a", "A-rather-long-Name-of-a-group", "x1"} {
		if got := c.Regions(account.Setup{Name: name, Regions: []string{"westeurope"}})[0].Storage; len(got) < 3 || len(got) > 24 || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("the account of %s would be named %s", name, got)
		}
	}
}
