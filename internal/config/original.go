package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/clusterless-go/clusterless/internal/original"
)

// base is what the original's files say, as settings of ours.
type base struct {
	Profile
	task  Task
	hosts []string // of the accounts; empty: the settings are for any
	path  string   // of the file that says engine and store
}

// base reads them that way. Secrets are not among it: what logs in finds them itself (package azlogin).
func (f *File) base() (b base) {
	if f.Original == nil {
		return b
	}
	b.path = f.Original.CredentialsPath
	p := f.Original.Parameters
	b.task = Task{Nodes: p.NodesPerTask, Cores: p.ProcsPerNode * p.Threads}
	if p.MPI {
		b.task = Task{Nodes: p.NodesPerTask, RanksPerNode: p.ProcsPerNode, Threads: p.Threads}
	}
	b.AzBatch = AzBatch{VMSize: p.VMSize, Nodes: p.NodesPerPool, InterNode: p.InterNode, Image: p.Image, Container: p.Container, Retries: &p.Retries,
		Slots: p.ProcsPerNode * p.Threads} // one task at a time, as the original's nodes
	accounts := f.Original.Accounts
	for i := range p.PoolCount { // dealt to the accounts in turn
		pool := fmt.Sprintf("%s_%d", p.PoolID, i+1)
		if n := len(accounts); n == 0 || i%n == 0 {
			b.AzBatch.Pool = strings.TrimPrefix(b.AzBatch.Pool+","+pool, ",")
		} else {
			_, host := splitURL(accounts[i%n].BatchURL)
			b.AzBatch.Place = append(b.AzBatch.Place, host+"/"+pool)
		}
	}
	if len(accounts) == 0 {
		return b
	}
	var plain bool
	for _, a := range accounts {
		scheme, host := splitURL(a.BatchURL)
		b.hosts = append(b.hosts, host)
		plain = plain || scheme == "http"
	}
	b.Engine = (&url.URL{Scheme: "azbatch", Host: b.hosts[0]}).String()
	b.AzBatch.HTTP = plain
	b.Store = storeURL(accounts[0], p.BlobContainer)
	return b
}

// storeURL is the container of an account, as the URL of a store.
func storeURL(a original.Account, container string) string {
	if a.StorageURL == "" {
		return "azblob://" + a.StorageAccount + "/" + container
	}
	scheme, rest := splitURL(a.StorageURL)
	if scheme == "http" {
		return "azblob://" + rest + "/" + container + "?protocol=http"
	}
	return "azblob://" + rest + "/" + container
}

// splitURL cuts a URL behind its scheme, which is https if it has none.
func splitURL(raw string) (scheme, rest string) {
	if scheme, rest, ok := strings.Cut(raw, "://"); ok {
		return strings.ToLower(scheme), rest
	}
	return "https", raw
}

// isFor reports whether what the original's files say counts for an engine.
func (b *base) isFor(u *url.URL) bool {
	return u.Scheme == "azbatch" && b.AzBatch.Pool != "" && (len(b.hosts) == 0 || strings.EqualFold(u.Host, b.hosts[0]))
}

// overridden reports whether settings of ours leave no room for one of the original.
func overridden(ours url.Values, name string) bool {
	together := []string{name}
	switch name {
	case "pool", "place":
		together = []string{"pool", "place"}
	case "nodes":
		together = []string{"nodes", "spot", "maxnodes", "maxspot", "formula"}
	}
	return slices.ContainsFunc(together, ours.Has)
}
