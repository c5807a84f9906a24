package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless"
	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/internal/price"
)

// priceList is where prices are fetched from; tests have their own.
var priceList = price.Endpoint

// query is what is asked of the price table.
type query struct {
	regions     []string
	nodes, spot int
	time        time.Duration
	json        bool
}

// prices shows and refreshes the table of what nodes cost.
func (f *flags) prices() *cobra.Command {
	q := &query{}
	var refresh bool
	cmd := &cobra.Command{
		Use:   "prices [VMSIZE...]",
		Short: "Say what Azure nodes cost",
		Long: "Prices lists what nodes cost by the hour. With --time, or a number of nodes, it says what they cost for that long: nodes of the\n" +
			"VM sizes that are named, or else of the engine's pool, as many as there may be.\n\n" +
			"The prices are those of Linux nodes in USD, without tax, discounts, storage and traffic. Some come with this program; with\n" +
			"--refresh all of a region are fetched from Microsoft's public price list, and kept in the user's cache directory.",
		RunE: func(cmd *cobra.Command, sizes []string) error {
			switch {
			case q.json && (refresh || q.estimates() && len(sizes) == 0):
				return errors.New("prices: --json is for the list of VM sizes")
			case refresh && len(sizes) == 0:
				return q.fetch(cmd.Context(), cmd.OutOrStdout())
			case refresh:
				return errors.New("prices: --refresh fetches all VM sizes of a region: leave them out")
			case q.estimates() && len(sizes) == 0:
				return f.with(q.pool)(cmd, nil)
			}
			return q.list(cmd.OutOrStdout(), sizes)
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&q.regions, "region", nil, "regions, as westeurope (default: all of the table)")
	fl.IntVar(&q.nodes, "nodes", 0, "number of dedicated nodes")
	fl.IntVar(&q.spot, "spot", 0, "number of spot nodes")
	fl.DurationVar(&q.time, "time", 0, "how long, as 8h (default: 1h)")
	fl.BoolVar(&q.json, "json", false, "of the list: one JSON object a line, amounts in USD")
	fl.BoolVar(&refresh, "refresh", false, "fetch the prices of the regions")
	return cmd
}

// estimates reports whether it is about a number of nodes.
func (q *query) estimates() bool { return q.nodes+q.spot > 0 || q.time > 0 }

// duration is how long they are to be there.
func (q *query) duration() time.Duration {
	if q.time > 0 {
		return q.time
	}
	return time.Hour
}

// fetch fetches regions and keeps them.
func (q *query) fetch(ctx context.Context, w io.Writer) error {
	regions := q.regions
	if len(regions) == 0 {
		table, err := price.Open()
		if err != nil {
			table = price.Embedded() // what is damaged is replaced
		}
		regions = table.Regions()
	}
	client := &price.Client{Endpoint: priceList}
	for _, region := range regions {
		table, err := client.Fetch(ctx, region)
		if err != nil {
			return err
		}
		path, err := table.Save()
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %d VM sizes, in %s\n", region, len(table.All("")), path)
	}
	return nil
}

// list prints the prices of sizes, or of all.
func (q *query) list(out io.Writer, sizes []string) error {
	table, err := price.Open()
	if err != nil {
		return err
	}
	regions := q.regions
	if len(regions) == 0 {
		regions = table.Regions()
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	head := "REGION\tVM SIZE\tDEDICATED\tSPOT\tAS OF"
	if q.estimates() {
		head += "\tTOTAL"
	}
	if !q.json {
		fmt.Fprintln(w, head)
	}
	found := map[string]bool{}
	var errs []error
	for _, region := range regions {
		for _, p := range table.All(region) {
			i := slices.IndexFunc(sizes, func(size string) bool { return strings.EqualFold(size, p.Size) })
			if i < 0 && len(sizes) > 0 {
				continue
			}
			if i >= 0 {
				found[sizes[i]] = true
			}
			var total *float64
			if q.estimates() {
				hour, err := p.Hour(q.nodes, q.spot)
				if err == nil {
					hour *= q.duration().Hours()
					total = &hour
				}
				errs = append(errs, err)
			}
			if q.json {
				errs = append(errs, priceJSON(out, p.Region, p.Size, p.Dedicated, p.Spot, p.Date, total))
				continue
			}
			line := fmt.Sprintf("%s\t%s\t%s\t%s\t%s", p.Region, p.Size, hourly(p.Dedicated), hourly(p.Spot), p.Date.Format(time.DateOnly))
			if total != nil {
				line += "\t" + engine.Dollars(*total)
			}
			fmt.Fprintln(w, line)
		}
	}
	for _, size := range sizes {
		if !found[size] {
			_, err := table.Find(strings.Join(regions, ","), size)
			errs = append(errs, err)
		}
	}
	return errors.Join(w.Flush(), errors.Join(errs...))
}

// hourly is a price for people.
func hourly(usd float64) string {
	if usd == 0 {
		return "?"
	}
	return engine.Dollars(usd)
}

// pool says what nodes of the engine's pool cost.
func (q *query) pool(cmd *cobra.Command, _ []string, s *clusterless.Session) error {
	c, err := s.Estimate(cmd.Context(), q.nodes, q.spot, q.duration())
	switch {
	case err != nil:
		return err
	case c.Unknown != "":
		return errors.New(c.Unknown)
	case c == clusterless.Cost{}:
		return fmt.Errorf("nodes of the engine %s cost nothing: name a VM size, or another engine", s.EngineURL())
	}
	what := "all nodes that there may be"
	if q.nodes+q.spot > 0 {
		what = fmt.Sprintf("%d dedicated and %d spot nodes", q.nodes, q.spot)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s an hour, %s in %v (prices of %s)\n", what, engine.Dollars(c.Hour), engine.Dollars(c.Spent), q.duration(), c.Prices.Format(time.DateOnly))
	return nil
}
