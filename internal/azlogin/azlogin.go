// Package azlogin finds out by whom Azure is asked: by the client that a credentials.json of the original names for an account,
// else by whoever azidentity's DefaultAzureCredential finds. Secrets go from the file to the service that checks them, and nowhere
// else.
package azlogin

import (
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/clusterless-go/clusterless/internal/original"
)

// Batch is the credential for the Batch account at an endpoint, as https://account.region.batch.azure.com.
func Batch(endpoint string) (azcore.TokenCredential, error) {
	account, err := find(func(a original.Account) bool { return sameHost(a.BatchURL, endpoint) })
	if err != nil {
		return nil, err
	}
	return credential(account)
}

// Storage is how to get into a storage account, by its name and the endpoint of its blobs: with the account's key if that is
// known, else with a credential. from says where it was found. All are empty if no file names the account.
func Storage(account, endpoint string) (key original.Secret, c azcore.TokenCredential, from string, err error) {
	a, err := find(func(a original.Account) bool {
		if a.StorageURL != "" {
			return sameHost(a.StorageURL, endpoint) && a.StorageAccount == account
		}
		return a.StorageAccount == account && strings.HasPrefix(endpoint, "https://"+account+".blob.")
	})
	if err != nil || a == nil {
		return key, nil, "", err
	}
	if a.StorageKey != (original.Secret{}) {
		return a.StorageKey, nil, "the account's key in credentials.json", nil
	}
	c, err = credential(a)
	return key, c, "the client in credentials.json", err
}

// find is the first account that fits; nil if there is none, or no file.
func find(fits func(original.Account) bool) (*original.Account, error) {
	f, err := original.Find()
	if err != nil || f == nil {
		return nil, err
	}
	for i := range f.Accounts {
		if fits(f.Accounts[i]) {
			return &f.Accounts[i], nil
		}
	}
	return nil, nil
}

// credential is an account's client, or the default.
func credential(a *original.Account) (azcore.TokenCredential, error) {
	if a == nil || a.Client == "" {
		return azidentity.NewDefaultAzureCredential(nil)
	}
	c, err := azidentity.NewClientSecretCredential(a.Tenant, a.Client, a.Secret.Reveal(), &azidentity.ClientSecretCredentialOptions{
		// Whoever names an authority of his own knows that it is one: asking Microsoft about it would fail.
		DisableInstanceDiscovery: os.Getenv("AZURE_AUTHORITY_HOST") != "",
	})
	if err != nil {
		return nil, fmt.Errorf("client %s of credentials.json: %w", a.Client, err)
	}
	return c, nil
}

// sameHost compares the hosts of URLs, also of ones that somebody wrote without a scheme.
func sameHost(a, b string) bool {
	host := func(s string) string {
		if !strings.Contains(s, "://") {
			s = "https://" + s
		}
		u, err := url.Parse(s)
		if err != nil {
			return ""
		}
		return u.Host
	}
	return host(a) != "" && strings.EqualFold(host(a), host(b))
}
