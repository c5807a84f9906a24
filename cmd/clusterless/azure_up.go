package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless/internal/account"
	"github.com/clusterless-go/clusterless/internal/price"
)

// upSize is the VM size that azure up proposes.
const upSize = "Standard_D4s_v5"

func azureUp() *cobra.Command {
	var regions []string
	var file string
	cmd := &cobra.Command{
		Use:   "up [NAME]",
		Short: "Make the accounts that programs need, in one or several regions",
		Long: "Make the accounts that programs need: a resource group of the name (default clusterless), an identity for nodes, and in each\n" +
			"region a storage account with a container and a Batch account, with the roles that you and the nodes need. Keys are not used.\n\n" +
			"It shows first what it would make. What is there is left as it is, so the same command may be given again, also after an error.\n" +
			"You need the role Owner of the subscription, or Contributor and Role Based Access Control Administrator.",
		Example: "  clusterless azure up --subscription $ID --region westeurope\n  clusterless azure up big --region westeurope,northeurope --yes --write clusterless.toml",
		Args:    cobra.MaximumNArgs(1),
	}
	open, yes := subscription(cmd), yesFlag(cmd)
	cmd.Flags().StringSliceVar(&regions, "region", nil, "region or regions, as westeurope; the first has the resource group")
	cmd.Flags().StringVar(&file, "write", "", "write the configuration to this file, which must not be there")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := open()
		if err != nil {
			return err
		}
		setup := account.Setup{Name: setupName(args), Regions: regions}
		plan, err := client.Up(cmd.Context(), setup)
		if err != nil {
			return err
		}
		if file != "" {
			if _, err := os.Lstat(file); err == nil {
				return fmt.Errorf("%s is there already: name another file, or leave --write out and add what is printed", file)
			}
		}
		w := cmd.OutOrStdout()
		showPlan(w, plan, "make", "is there")
		if !plan.Empty() {
			showCosts(w, plan, regions)
			if ok, err := confirmed(cmd, *yes, "Make this?"); err != nil || !ok {
				return err
			}
			if err := plan.Run(cmd.Context(), func(s account.Step) { fmt.Fprintln(w, "made    ", s.What) }); err != nil {
				return fmt.Errorf("%w: what was made stays; give the command again to go on", err)
			}
		}
		text := configuration(client, setup)
		if file != "" {
			if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
				return err
			}
			fmt.Fprintln(w, "wrote", file)
			return nil
		}
		fmt.Fprintf(w, "\n# clusterless.toml\n%s", text)
		return nil
	}
	return cmd
}

func azureDelete() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "delete [NAME]",
		Short: "Delete what azure up has made, with all pools, jobs and results",
		Long: "Delete what azure up has made under a name (default clusterless), in all regions: Batch accounts with their pools and jobs,\n" +
			"storage accounts with all that is stored there, the identity, and the resource group, unless there are other things in it.\n\n" +
			"It shows first what it would delete. Nothing of it can be brought back.",
		Args: cobra.MaximumNArgs(1),
	}
	open, yes := subscription(cmd), yesFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := open()
		if err != nil {
			return err
		}
		plan, err := client.Delete(cmd.Context(), setupName(args))
		if err != nil {
			return err
		}
		w := cmd.OutOrStdout()
		showPlan(w, plan, "delete", "is gone")
		if plan.Empty() {
			fmt.Fprintln(w, "nothing to delete")
			return nil
		}
		if ok, err := confirmed(cmd, *yes, "Delete this, with all results?"); err != nil || !ok {
			return err
		}
		if err := plan.Run(cmd.Context(), func(s account.Step) { fmt.Fprintln(w, "deleted ", s.What) }); err != nil {
			return fmt.Errorf("%w: give the command again to go on", err)
		}
		return nil
	}
	return cmd
}

func setupName(args []string) string {
	if len(args) == 0 {
		return "clusterless"
	}
	return args[0]
}

// showPlan writes down what a plan does, and what it finds done.
func showPlan(w io.Writer, p *account.Plan, verb, done string) {
	for _, s := range p.Steps {
		what := verb
		if s.Done {
			what = done
		}
		fmt.Fprintf(w, "%-8s %s\n", what, s.What)
	}
	for _, n := range p.Notes {
		fmt.Fprintln(w, "note     ", n)
	}
}

// showCosts says what of a plan costs money, and what will.
func showCosts(w io.Writer, p *account.Plan, regions []string) {
	fmt.Fprintln(w, "\nWhat costs money:")
	for _, s := range p.Steps {
		if s.Costs != "" && !s.Done {
			fmt.Fprintf(w, "  %s: %s\n", s.What, s.Costs)
		}
	}
	fmt.Fprintln(w, "  nodes, by the hour, as soon as a pool has some; none is made now")
	table, err := price.Open()
	if err != nil {
		fmt.Fprintln(w, "  ", err)
		return
	}
	for _, r := range regions {
		if p, err := table.Find(r, upSize); err == nil {
			fmt.Fprintf(w, "    a %s in %s: %s dedicated, %s spot (%s)\n", upSize, r, usd(p.Dedicated), usd(p.Spot), p.Date.Format("2006-01-02"))
		}
	}
	fmt.Fprintln(w)
}

// configuration is a clusterless.toml for the accounts of a setup.
func configuration(c *account.Client, s account.Setup) string {
	var b strings.Builder
	all := c.Regions(s)
	fmt.Fprintf(&b, "engine = \"azbatch://%s\"\nstore = \"azblob://%s/%s\"\n\n", all[0].Endpoint, all[0].Storage, account.Container)
	fmt.Fprintf(&b, "[azbatch]\npool = \"small\"             # clusterless azure pool create makes it\nvmsize = \"%s\"\n", upSize)
	fmt.Fprint(&b, "maxspot = 4                # it follows the work: up to 4 spot nodes, none when nothing is to be done\n")
	fmt.Fprintf(&b, "identity = \"%s\"\n", c.IdentityID(s))
	if len(all) > 1 {
		fmt.Fprint(&b, "place = [                  # pools that share the work\n")
		for _, r := range all[1:] {
			fmt.Fprintf(&b, "  \"%s/small\",\n", r.Endpoint)
		}
		fmt.Fprint(&b, "]\n")
	}
	return b.String()
}
