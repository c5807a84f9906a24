package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/spf13/cobra"

	"github.com/clusterless-go/clusterless/engine"
	"github.com/clusterless-go/clusterless/engine/azbatch"
	_ "github.com/clusterless-go/clusterless/engine/azbatch/managed"
	"github.com/clusterless-go/clusterless/internal/account"
	"github.com/clusterless-go/clusterless/internal/config"
	"github.com/clusterless-go/clusterless/internal/contract"
	"github.com/clusterless-go/clusterless/internal/price"
	"github.com/clusterless-go/clusterless/progress"
)

func (f *flags) azure() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "azure",
		Short: "Set up accounts on Azure, and see to what costs money there",
		Long: "Set up accounts on Azure, make and delete pools, and see what costs money there.\n" +
			"What would be made or deleted is always shown first. You have to be logged in: az login.",
	}
	cmd.AddCommand(azureUp(), azureDelete(), f.azureLs(), f.azureDown(), f.azurePool())
	return cmd
}

// A batchAccount is one that the configuration names, or that was found in a subscription.
type batchAccount struct {
	*azbatch.Engine
	host     string
	region   string     // whose prices count; "" if that is not known
	pools    []string   // that the configuration names there
	settings url.Values // of pools to be made
}

// name is what people call the account: the first part of its host, if that has a name.
func (a *batchAccount) name() string {
	if name, rest, _ := strings.Cut(a.host, "."); strings.Contains(rest, ".batch.") {
		return name
	}
	return a.host
}

func closeAll(all []*batchAccount) {
	for _, a := range all {
		a.Close()
	}
}

// settled is what the configuration says.
func (f *flags) settled() (config.Settled, error) {
	file, err := config.Load()
	if err != nil {
		return config.Settled{}, err
	}
	env := config.Choice{Engine: os.Getenv("CLUSTERLESS_ENGINE"), Dir: os.Getenv("CLUSTERLESS_DIR"), Store: os.Getenv(contract.EnvStore)}
	return file.Resolve(env, config.Choice{Engine: f.engine, Dir: f.dir})
}

// batchAccounts are those that the configuration names.
func (f *flags) batchAccounts(ctx context.Context) (all []*batchAccount, store string, err error) {
	set, err := f.settled()
	if err != nil {
		return nil, "", err
	}
	if set.Engine.Scheme != "azbatch" || set.Engine.Host == "" {
		return nil, "", errors.New("the configuration names no Batch account: " +
			`give one with --engine azbatch://ACCOUNT.REGION.batch.azure.com, or engine in clusterless.toml (clusterless azure up makes one)`)
	}
	settings := set.Engine.Query()
	places := settings["place"]
	pools := map[string][]string{set.Engine.Host: strings.FieldsFunc(settings.Get("pool"), func(r rune) bool { return r == ',' })}
	hosts := []string{set.Engine.Host}
	for _, p := range places {
		host, pool, _ := strings.Cut(p, "/")
		if !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
		pools[host] = append(pools[host], pool)
	}
	for _, host := range hosts {
		a, err := openAccount(ctx, host, pools[host], settings)
		if err != nil {
			closeAll(all)
			return nil, "", err
		}
		all = append(all, a)
	}
	return all, set.Store, nil
}

// openAccount opens one account, with what of the settings is not about its pools.
func openAccount(ctx context.Context, host string, pools []string, settings url.Values) (*batchAccount, error) {
	q := url.Values{"pool": {cmp.Or(strings.Join(pools, ","), "none")}} // an engine wants one
	for _, name := range []string{"http", "poll"} {
		if settings.Has(name) {
			q.Set(name, settings.Get(name))
		}
	}
	u := url.URL{Scheme: "azbatch", Host: host, RawQuery: q.Encode()}
	e, err := engine.Open(ctx, u.String(), engine.Config{Logger: progress.Log("", false)})
	if err != nil {
		return nil, err
	}
	return &batchAccount{Engine: e.(*azbatch.Engine), host: host, region: cmp.Or(settings.Get("region"), price.Region(host)), pools: pools, settings: settings}, nil
}

// connectARM makes the client of a subscription. Tests have another.
var connectARM = func(subscription string) (*account.Client, error) {
	c, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, err
	}
	return account.New(subscription, c, nil)
}

// subscription adds the flag that names one, and returns what opens it.
func subscription(cmd *cobra.Command) (open func() (*account.Client, error)) {
	id := cmd.Flags().String("subscription", os.Getenv("AZURE_SUBSCRIPTION_ID"), "ID of the subscription (default: AZURE_SUBSCRIPTION_ID)")
	return func() (*account.Client, error) {
		if *id == "" {
			return nil, errors.New("which subscription? Give --subscription, or set AZURE_SUBSCRIPTION_ID (az account show --query id shows the one of az)")
		}
		return connectARM(*id)
	}
}

// confirmed asks whether to go on, unless the flag yes says so.
func confirmed(cmd *cobra.Command, yes bool, question string) (bool, error) {
	if yes {
		return true, nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s [y/N] ", question)
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	fmt.Fprintln(cmd.OutOrStdout())
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	if answer == "" && errors.Is(err, io.EOF) {
		return false, errors.New("nobody answered: give --yes to go on without a question")
	}
	return answer == "y" || answer == "yes", nil
}

func yesFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().BoolP("yes", "y", false, "do it without a question")
}
