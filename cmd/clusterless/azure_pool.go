package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless/engine/azbatch"
	"github.com/clusterless-go/clusterless/internal/price"
)

// Settings of pools that are flags too, with what they mean.
var (
	sizeFlags = map[string]string{
		"nodes": "dedicated nodes", "spot": "spot nodes", "maxnodes": "at most so many dedicated nodes, as the work needs", "maxspot": "at most so many spot nodes, as the work needs",
		"formula": "name of a ready-made formula (clusterless azure pool formulas), or one in the service's language", "interval": "time between evaluations of the formula",
		"lease": `how long after the last job idle nodes stay, as 2h, or "none"`,
	}
	makeFlags = map[string]string{
		"vmsize": "VM size, as Standard_D4s_v5", "slots": "cores to hand out on a node", "image": "image of nodes: publisher:offer:sku, or the beginning of that for the newest",
		"agent": "node agent, for an image of a gallery", "startscript": "file with a script that each node runs as root when it joins", "internode": "true: nodes may talk to each other",
		"identity": "resource ID of the managed identity of nodes", "container": "image that tasks run in", "containeroptions": "options of the container",
		"registry": "private registry of the image", "registryuser": "user of the registry, with the password in " + azbatch.RegistryPassword, "registryidentity": "identity that the registry lets in",
	}
)

// settingFlags adds settings as flags.
func settingFlags(cmd *cobra.Command, flags map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		cmd.Flags().String(name, "", flags[name])
	}
}

// given are the settings of the command line. Those of one size leave nothing of another.
func given(cmd *cobra.Command, base url.Values) url.Values {
	q := maps.Clone(base)
	if slices.ContainsFunc([]string{"nodes", "spot", "maxnodes", "maxspot", "formula"}, cmd.Flags().Changed) {
		for name := range sizeFlags {
			delete(q, name)
		}
	}
	for _, flags := range []map[string]string{sizeFlags, makeFlags} {
		for name := range flags {
			if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
				q.Set(name, f.Value.String())
			}
		}
	}
	return q
}

func (f *flags) azurePool() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pool",
		Short: "Make, resize, list and delete pools",
		Long:  "Make, resize, list and delete pools of the accounts that the configuration names. Settings are those of clusterless.toml, as flags.",
	}
	cmd.AddCommand(f.poolCreate(), f.poolList(), f.poolResize(), f.poolDelete(), f.poolEvaluate(), poolFormulas())
	return cmd
}

// onAccounts runs a command on the accounts of the configuration, of which a flag may choose one.
func (f *flags) onAccounts(cmd *cobra.Command, run func(cmd *cobra.Command, args []string, all []*batchAccount) error) {
	one := cmd.Flags().String("account", "", "only this account, by its name or host")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		all, _, err := f.batchAccounts(cmd.Context())
		if err != nil {
			return err
		}
		defer closeAll(all)
		some := slices.DeleteFunc(slices.Clone(all), func(a *batchAccount) bool { return *one != "" && *one != a.host && *one != a.name() })
		if len(some) == 0 {
			return fmt.Errorf("the configuration names no account %s", *one)
		}
		return run(cmd, args, some)
	}
}

// having finds the account that has a pool.
func having(cmd *cobra.Command, all []*batchAccount, pool string) (found *batchAccount, info azbatch.PoolInfo, err error) {
	for _, a := range all {
		pools, err := a.Pools(cmd.Context())
		if err != nil {
			return nil, info, err
		}
		i := slices.IndexFunc(pools, func(p azbatch.PoolInfo) bool { return strings.EqualFold(p.ID, pool) })
		switch {
		case i < 0:
		case found != nil:
			return nil, info, fmt.Errorf("both %s and %s have a pool %s: choose one with --account", found.host, a.host, pool)
		default:
			found, info = a, pools[i]
		}
	}
	if found == nil {
		return nil, info, fmt.Errorf("there is no pool %s (clusterless azure pool list)", pool)
	}
	return found, info, nil
}

func (f *flags) poolCreate() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create [POOL...]",
		Short: "Make pools, of what the configuration and flags say",
		Long: "Make pools of what the configuration and flags say: those that are named, in the first account, or else all that the\n" +
			"configuration names, in all its accounts. A pool that is there is left as it is.",
		Example: "  clusterless azure pool create small --vmsize Standard_D4s_v5 --maxspot 10",
	}
	settingFlags(cmd, sizeFlags)
	settingFlags(cmd, makeFlags)
	yes := yesFlag(cmd)
	f.onAccounts(cmd, func(cmd *cobra.Command, args []string, all []*batchAccount) error {
		spec, err := azbatch.ParsePool(given(cmd, all[0].settings))
		if err != nil {
			return err
		}
		if len(args) > 0 {
			all = all[:1]
		}
		w, todo := cmd.OutOrStdout(), 0
		for _, a := range all {
			pools := a.pools
			if len(args) > 0 {
				pools = args
			}
			for _, id := range pools {
				fmt.Fprintf(w, "make     pool %s in %s: %s\n", id, a.name(), describePool(a, spec))
				todo++
			}
		}
		if todo == 0 {
			return errors.New("which pool? Name one, or set pool in the configuration")
		}
		if ok, err := confirmed(cmd, *yes, "Make this?"); err != nil || !ok {
			return err
		}
		for _, a := range all {
			pools := a.pools
			if len(args) > 0 {
				pools = args
			}
			for _, id := range pools {
				joined, err := a.CreatePool(cmd.Context(), id, spec)
				if err != nil {
					return err
				}
				said := "made    "
				if joined {
					said = "is there"
				}
				fmt.Fprintf(w, "%s pool %s in %s\n", said, id, a.name())
			}
		}
		return nil
	})
	return cmd
}

// describePool says what a pool will have, and what that costs.
func describePool(a *batchAccount, s azbatch.PoolSpec) string {
	var parts []string
	n, spot := max(s.Nodes, s.MaxNodes), max(s.Spot, s.MaxSpot)
	switch {
	case s.MaxNodes+s.MaxSpot > 0:
		parts = append(parts, fmt.Sprintf("up to %d dedicated and %d spot nodes %s", n, spot, s.VMSize))
	case n+spot > 0:
		parts = append(parts, fmt.Sprintf("%d dedicated and %d spot nodes %s", n, spot, s.VMSize))
	default:
		return "as many nodes " + s.VMSize + " as its formula says"
	}
	if t, err := price.Open(); err == nil {
		if hour, why := a.rate(t, s.VMSize, n, spot); why == "" {
			parts = append(parts, usd(hour)+" an hour when they are all there")
		}
	}
	if s.Nodes+s.Spot > 0 {
		if s.Lease < 0 {
			parts = append(parts, fmt.Sprintf("%d of them until you delete it", s.Nodes+s.Spot))
		} else {
			parts = append(parts, fmt.Sprintf("%d of them until %v after the last job", s.Nodes+s.Spot, cmp.Or(s.Lease, azbatch.DefaultLease)))
		}
	}
	return strings.Join(parts, ", ")
}

func (f *flags) poolList() *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List pools", Args: cobra.NoArgs}
	f.onAccounts(cmd, func(cmd *cobra.Command, _ []string, all []*batchAccount) error {
		table, err := price.Open()
		if err != nil {
			return err
		}
		var pools []ownedPool
		for _, a := range all {
			some, err := a.Pools(cmd.Context())
			if err != nil {
				return err
			}
			for i := range some {
				hour, _ := a.rate(table, some[i].VMSize, some[i].Nodes, some[i].Spot)
				pools = append(pools, ownedPool{some[i], a, hour})
			}
		}
		t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		if len(pools) > 0 {
			writePools(t, pools)
		}
		return t.Flush()
	})
	return cmd
}

func (f *flags) poolResize() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "resize POOL",
		Short:   "Change how many nodes a pool has, or may have",
		Long:    "Change how many nodes a pool has, or may have. Nodes that leave end their tasks first. Without a flag for nodes it gets none.",
		Example: "  clusterless azure pool resize small --nodes 2 --spot 10 --lease 8h\n  clusterless azure pool resize small --maxspot 50 --formula burst",
		Args:    cobra.ExactArgs(1),
	}
	settingFlags(cmd, sizeFlags)
	f.onAccounts(cmd, func(cmd *cobra.Command, args []string, all []*batchAccount) error {
		size, err := azbatch.ParsePool(given(cmd, url.Values{}))
		if err != nil {
			return err
		}
		a, info, err := having(cmd, all, args[0])
		if err != nil {
			return err
		}
		if err := a.ResizePool(cmd.Context(), info.ID, size); err != nil {
			return err
		}
		size.VMSize = info.VMSize
		fmt.Fprintf(cmd.OutOrStdout(), "pool %s in %s: %s\n", info.ID, a.name(), describePool(a, size))
		return nil
	})
	return cmd
}

func (f *flags) poolDelete() *cobra.Command {
	cmd := &cobra.Command{Use: "delete POOL...", Short: "Delete pools with their nodes, and end what runs there", Args: cobra.MinimumNArgs(1)}
	yes := yesFlag(cmd)
	f.onAccounts(cmd, func(cmd *cobra.Command, args []string, all []*batchAccount) error {
		found := make([]*batchAccount, len(args))
		for i, id := range args {
			a, info, err := having(cmd, all, id)
			if err != nil {
				return err
			}
			found[i] = a
			fmt.Fprintf(cmd.OutOrStdout(), "delete   pool %s in %s, with %d nodes\n", info.ID, a.name(), info.Nodes+info.Spot)
		}
		if ok, err := confirmed(cmd, *yes, "Delete this, and end what runs there?"); err != nil || !ok {
			return err
		}
		for i, id := range args {
			if err := found[i].DeletePool(cmd.Context(), id); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "deleted  pool %s in %s\n", id, found[i].name())
		}
		return nil
	})
	return cmd
}

func (f *flags) poolEvaluate() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "evaluate POOL",
		Short: "Let the service compute a formula, without using it",
		Long: "Let the service compute a formula with the numbers of a pool that scales by itself, without using it, and print what comes\n" +
			"of it. The formula is the one of a flag, or of a file.",
		Example: "  clusterless azure pool evaluate small --formula fallback --maxspot 20 --maxnodes 5\n  clusterless azure pool evaluate small --file formula.txt",
		Args:    cobra.ExactArgs(1),
	}
	settingFlags(cmd, sizeFlags)
	cmd.Flags().StringVar(&file, "file", "", "file with the formula")
	f.onAccounts(cmd, func(cmd *cobra.Command, args []string, all []*batchAccount) error {
		spec, err := azbatch.ParsePool(given(cmd, url.Values{}))
		if err != nil {
			return err
		}
		if file != "" {
			b, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			spec.Formula = string(b)
		}
		a, info, err := having(cmd, all, args[0])
		if err != nil {
			return err
		}
		result, err := a.EvaluateFormula(cmd.Context(), info.ID, spec)
		if err != nil {
			return err
		}
		for part := range strings.SplitSeq(strings.Trim(result, "; \n"), ";") {
			fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(part))
		}
		return nil
	})
	return cmd
}

func poolFormulas() *cobra.Command {
	return &cobra.Command{Use: "formulas", Short: "List the ready-made formulas", Args: cobra.NoArgs, Run: func(cmd *cobra.Command, _ []string) {
		for _, name := range slices.Sorted(maps.Keys(azbatch.Formulas)) {
			fmt.Fprintf(cmd.OutOrStdout(), "%-9s %s\n", name, azbatch.Formulas[name])
		}
	}}
}
