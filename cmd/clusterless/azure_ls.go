package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/internal/account"
	"github.com/clusterless-go/clusterless/internal/price"
	"github.com/clusterless-go/clusterless/store/blobstore"
)

// An inventory is what there is on Azure that was made for jobs.
type inventory struct {
	accounts   []*batchAccount
	pools      []ownedPool
	jobs       []ownedJob
	containers []blobstore.ContainerInfo
	notes      []string
	errs       []error // of accounts that could not be asked
}

type ownedPool struct {
	azbatch.PoolInfo
	account *batchAccount
	hour    float64 // what its nodes cost in an hour, in USD; negative: that is not known
}

type ownedJob struct {
	azbatch.JobInfo
	account *batchAccount
}

// rate is what nodes of a size cost by the hour in an account; negative if that is not known, and why.
func (a *batchAccount) rate(t *price.Table, size string, nodes, spot int) (hour float64, why string) {
	switch {
	case nodes+spot == 0:
		return 0, ""
	case t == nil:
		return -1, "there is no table of prices"
	case a.region == "":
		return -1, "the endpoint of the account " + a.host + " does not say in which region it is, whose prices count: name it with the setting region"
	}
	one, err := t.Find(a.region, size)
	if err == nil {
		hour, err = one.Hour(nodes, spot)
	}
	if err != nil {
		return -1, err.Error()
	}
	return hour, ""
}

func usd(x float64) string {
	if x < 0 {
		return "?"
	}
	return fmt.Sprintf("%.2f USD", x)
}

// onInventory makes a command of what is to be done with all that there is, in the accounts of the configuration or, if the command line
// names a subscription, in all that azure up has made there. One that cannot be asked does not keep it from the others.
func (f *flags) onInventory(cmd *cobra.Command, run func(ctx context.Context, args []string, inv *inventory) error) {
	open := subscription(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		var arm *account.Client
		if cmd.Flags().Changed("subscription") { // that a variable names one is no choice
			var err error
			if arm, err = open(); err != nil {
				return err
			}
		}
		inv, err := f.take(ctx, arm)
		if err != nil {
			return err
		}
		defer closeAll(inv.accounts)
		return errors.Join(append(inv.errs, run(ctx, args, inv))...)
	}
}

// take finds what there is.
func (f *flags) take(ctx context.Context, arm *account.Client) (*inventory, error) {
	inv := &inventory{}
	var stores []string
	if arm == nil {
		all, store, err := f.batchAccounts(ctx)
		if err != nil {
			return nil, err
		}
		inv.accounts, stores = all, []string{store}
	} else {
		found, err := arm.Found(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			a, err := openAccount(ctx, r.Endpoint, nil, url.Values{})
			if err != nil {
				closeAll(inv.accounts)
				return nil, err
			}
			inv.accounts, stores = append(inv.accounts, a), append(stores, "azblob://"+r.Storage+"/"+account.Container)
		}
	}
	table, err := price.Open()
	if err != nil {
		inv.notes = append(inv.notes, err.Error())
	}
	for _, a := range inv.accounts {
		pools, err := a.Pools(ctx)
		var jobs []azbatch.JobInfo
		if err == nil {
			jobs, err = a.BatchJobs(ctx)
		}
		if err != nil {
			inv.errs = append(inv.errs, fmt.Errorf("account %s: %w", a.host, err))
		}
		for i := range pools {
			hour, why := a.rate(table, pools[i].VMSize, pools[i].Nodes, pools[i].Spot)
			inv.pools = append(inv.pools, ownedPool{pools[i], a, hour})
			if why != "" && table != nil && !slices.Contains(inv.notes, why) {
				inv.notes = append(inv.notes, why)
			}
		}
		for _, j := range jobs {
			inv.jobs = append(inv.jobs, ownedJob{j, a})
		}
	}
	for _, s := range stores {
		if !strings.HasPrefix(s, "azblob:") {
			continue
		}
		all, err := blobstore.Containers(ctx, s)
		if err != nil {
			inv.notes = append(inv.notes, err.Error())
			continue
		}
		for _, c := range all {
			if !c.Made.IsZero() || c.URL == s {
				inv.containers = append(inv.containers, c)
			}
		}
	}
	return inv, nil
}

func (f *flags) azureLs() *cobra.Command {
	var asJSON, sizes bool
	cmd := &cobra.Command{
		Use:   "ls",
		Short: "List what there is on Azure, and what it costs",
		Long: "List the pools, jobs and containers of the accounts that the configuration names, whoever made them, on whatever machine:\n" +
			"with --subscription those of all accounts that azure up has made there. Pools that others made are marked.\n\n" +
			"LEASE is when idle nodes leave; \"idle\" means as soon as nothing is to be done, \"never\" not without you.",
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	cmd.Flags().BoolVar(&sizes, "sizes", false, "say how much is stored, which takes a request for 5,000 blobs")
	f.onInventory(cmd, func(ctx context.Context, _ []string, inv *inventory) error {
		if asJSON {
			return inv.json(cmd.OutOrStdout())
		}
		return inv.write(ctx, cmd.OutOrStdout(), sizes)
	})
	return cmd
}

func (inv *inventory) write(ctx context.Context, w io.Writer, sizes bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(inv.pools) > 0 {
		writePools(t, inv.pools)
	}
	if len(inv.jobs) > 0 {
		fmt.Fprintln(t, "\nJOB\tACCOUNT\tPOOL\tSTATE\tCREATED")
	}
	for _, j := range inv.jobs {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", j.Job, j.account.name(), j.Pool, j.State, ago(j.Created))
	}
	if len(inv.containers) > 0 {
		fmt.Fprintln(t, "\nCONTAINER\tCREATED\tSIZE")
	}
	for _, c := range inv.containers {
		made, stored := "by others", ""
		if !c.Made.IsZero() {
			made = ago(c.Made)
		}
		if sizes {
			var err error
			if stored, err = storedIn(ctx, c.URL); err != nil {
				return err
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.URL, made, stored)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	total, known, nodes := 0.0, true, 0
	for _, p := range inv.pools {
		nodes += p.Nodes + p.Spot
		if known = known && p.hour >= 0; p.hour > 0 {
			total += p.hour
		}
	}
	switch {
	case len(inv.errs) > 0:
		fmt.Fprintf(w, "\n%d nodes cost about %s an hour or more, and not all accounts could be asked.\n", nodes, usd(total))
	case nodes == 0:
		fmt.Fprintln(w, "\nThere are no nodes: only what is stored costs money.")
	case known:
		fmt.Fprintf(w, "\n%d nodes cost about %s an hour.\n", nodes, usd(total))
	default:
		fmt.Fprintf(w, "\n%d nodes cost more than %s an hour: not all prices are known.\n", nodes, usd(total))
	}
	for _, n := range inv.notes {
		fmt.Fprintln(w, "note:", n)
	}
	return nil
}

// storedIn is how much is in a container.
func storedIn(ctx context.Context, containerURL string) (string, error) {
	s, err := blobstore.Open(containerURL)
	if err != nil {
		return "", err
	}
	var bytes int64
	n := 0
	for info, err := range s.List(ctx, "") {
		if err != nil {
			return "", err
		}
		bytes += info.Size
		n++
	}
	return fmt.Sprintf("%s in %d blobs", size(bytes), n), nil
}

func writePools(t *tabwriter.Writer, pools []ownedPool) {
	fmt.Fprintln(t, "POOL\tACCOUNT\tSIZE\tSLOTS\tNODES\tSPOT\tLEASE\tSTATE\tAN HOUR\tCREATED")
	for _, p := range pools {
		made := "by others"
		if !p.Made.IsZero() {
			made = ago(p.Made)
		}
		state := p.State
		if p.Problem != "" {
			state += ": " + p.Problem
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, p.account.name(), p.VMSize, p.Slots, ofWanted(p.Nodes, p.WantNodes), ofWanted(p.Spot, p.WantSpot), lease(&p.PoolInfo), state, usd(p.hour), made)
	}
}

// ofWanted is how many there are, and, if these are not as many, how many there are to be.
func ofWanted(n, want int) string {
	if n == want {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d/%d", n, want)
}

func lease(p *azbatch.PoolInfo) string {
	switch {
	case p.Lease.IsZero() && p.Scales:
		return "idle"
	case p.Lease.IsZero() && p.WantNodes+p.WantSpot == 0:
		return "-"
	case p.Lease.IsZero():
		return "never"
	case time.Until(p.Lease) <= 0:
		return "over"
	}
	return "in " + time.Until(p.Lease).Round(time.Minute).String()
}

func (inv *inventory) json(w io.Writer) error {
	e := json.NewEncoder(w)
	var errs []error
	for _, p := range inv.pools {
		out := struct {
			Kind      string    `json:"kind"`
			ID        string    `json:"id"`
			Account   string    `json:"account"`
			VMSize    string    `json:"vmsize"`
			Nodes     int       `json:"nodes"`
			Spot      int       `json:"spot"`
			WantNodes int       `json:"want_nodes"`
			WantSpot  int       `json:"want_spot"`
			State     string    `json:"state"`
			Problem   string    `json:"problem,omitempty"`
			Made      time.Time `json:"made,omitzero"`
			Lease     time.Time `json:"lease,omitzero"`
			Hour      *float64  `json:"usd_hour"` // null: not known
		}{"pool", p.ID, p.account.host, p.VMSize, p.Nodes, p.Spot, p.WantNodes, p.WantSpot, p.State, p.Problem, p.Made, p.Lease, nil}
		if p.hour >= 0 {
			out.Hour = &p.hour
		}
		errs = append(errs, e.Encode(out))
	}
	for _, j := range inv.jobs {
		errs = append(errs, e.Encode(struct {
			Kind    string    `json:"kind"`
			Name    string    `json:"name"`
			Account string    `json:"account"`
			Pool    string    `json:"pool"`
			State   string    `json:"state"`
			Created time.Time `json:"created"`
		}{"job", j.Job, j.account.host, j.Pool, j.State, j.Created}))
	}
	for _, c := range inv.containers {
		errs = append(errs, e.Encode(struct {
			Kind string    `json:"kind"`
			URL  string    `json:"url"`
			Made time.Time `json:"made,omitzero"`
		}{"container", c.URL, c.Made}))
	}
	return errors.Join(errs...)
}

func (f *flags) azureDown() *cobra.Command {
	var containers, expired bool
	cmd := &cobra.Command{
		Use:   "down [PREFIX]",
		Short: "Remove pools and jobs that were made for programs, so that nothing runs that costs money",
		Long: "Remove the pools and jobs whose names begin with PREFIX, or all, that clusterless has made in the accounts of the\n" +
			"configuration, whoever used it, on whatever machine: with --subscription in all accounts that azure up has made there.\n" +
			"Results stay, unless --containers is given. What was made by other means stays.\n\n" +
			"It shows first what it would remove. Nodes cost money until they are gone, some minutes later.",
		Args: cobra.MaximumNArgs(1),
	}
	yes := yesFlag(cmd)
	cmd.Flags().BoolVar(&containers, "containers", false, "containers too, with all programs, inputs and results in them")
	cmd.Flags().BoolVar(&expired, "expired", false, "only pools whose lease is over and that have nothing to do, and jobs that have ended")
	f.onInventory(cmd, func(ctx context.Context, args []string, inv *inventory) error {
		prefix := ""
		if len(args) > 0 {
			prefix = args[0]
		}
		removals, err := inv.removals(ctx, expired, containers)
		if err != nil {
			return err
		}
		all := slices.DeleteFunc(removals, func(r removal) bool { return !strings.HasPrefix(r.name, prefix) })
		w := cmd.OutOrStdout()
		for _, r := range all {
			fmt.Fprintln(w, "remove  ", r.what)
		}
		for _, n := range inv.notes {
			fmt.Fprintln(w, "note    ", n)
		}
		if len(all) == 0 {
			fmt.Fprintln(w, "nothing to remove")
			return nil
		}
		if ok, err := confirmed(cmd, *yes, "Remove this?"); err != nil || !ok {
			return err
		}
		var errs []error
		for _, r := range all {
			if err := r.do(ctx); err != nil {
				errs = append(errs, err)
				continue
			}
			fmt.Fprintln(w, "removed ", r.what)
		}
		return errors.Join(errs...)
	})
	return cmd
}

// A removal is one thing that azure down removes.
type removal struct {
	name, what string
	do         func(context.Context) error
}

// removals are for all that is ours: jobs before the pools that they run on, and those before the containers that they use. A job has
// ended when all its Batch jobs have: one of several may have handed over to the others.
func (inv *inventory) removals(ctx context.Context, expired, containers bool) (all []removal, err error) {
	ended := map[string]int{}
	for _, j := range inv.jobs {
		if j.State == "completed" {
			ended[j.Job]++
		}
	}
	for _, j := range inv.jobs {
		if j.State == "deleting" || expired && (j.State != "completed" || ended[j.Job] < j.Places) {
			continue
		}
		all = append(all, removal{j.Job, fmt.Sprintf("job %s in %s (%s)", j.Job, j.account.name(), j.State), func(ctx context.Context) error { return j.account.DeleteBatchJob(ctx, j.Batch) }})
	}
	for _, p := range inv.pools {
		if p.Made.IsZero() || p.State == "deleting" {
			continue
		}
		if expired {
			if is, err := p.account.Expired(ctx, p.ID); err != nil {
				return nil, err
			} else if !is {
				continue
			}
		}
		what := fmt.Sprintf("pool %s in %s", p.ID, p.account.name())
		if n := p.Nodes + p.Spot; n > 0 {
			what += fmt.Sprintf(", with %d nodes for %s an hour", n, usd(p.hour))
		}
		all = append(all, removal{p.ID, what, func(ctx context.Context) error {
			if expired { // somebody may have taken his time to answer
				if is, err := p.account.Expired(ctx, p.ID); err != nil || !is {
					return cmp.Or(err, fmt.Errorf("the pool %s in %s is used again, and stays", p.ID, p.account.name()))
				}
			}
			return p.account.DeletePool(ctx, p.ID)
		}})
	}
	for _, c := range inv.containers {
		if !containers || c.Made.IsZero() {
			continue
		}
		all = append(all, removal{c.Name, "container " + c.URL + ", with all programs, inputs and results", func(ctx context.Context) error {
			s, err := blobstore.Open(c.URL)
			if err != nil {
				return err
			}
			return s.Remove(ctx)
		}})
	}
	return all, nil
}
