package azbatch

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/clusterless-go/clusterless/engine"
)

// Config says how to make an engine. Endpoint and Pool are needed.
type Config struct {
	Endpoint   string                 // URL of the Batch account: https://account.region.batch.azure.com
	Credential azcore.TokenCredential // nil: azidentity.DefaultAzureCredential, made for the endpoint's cloud
	Transport  policy.Transporter     // nil: the SDK's

	Poll     time.Duration // how often the service is asked for what changed, at most; 0: DefaultPoll
	Start    time.Duration // how long runs wait for the first usable node of their pool; 0: DefaultStart
	Lifetime time.Duration // after this time the service ends the job, whatever runs; 0: DefaultLifetime
	Retries  int           // how often the service itself begins a run again whose process failed; negative: never; 0: DefaultRetries
	Platform string        // of the nodes, as GOOS/GOARCH or with a level as linux/amd64/v3; empty: DefaultPlatform
	Region   string        // whose prices count, as "westeurope"; empty: the one in the endpoint of each account

	// Make is the pool that a Submit makes if there is none of the name; without a VMSize it must be there.
	Make PoolSpec

	// NodeMemory, in bytes, and NodeGPUs are what a node of the pools has; 0: what the name of its VM size says.
	NodeMemory int64
	NodeGPUs   int

	// Places are further pools, of this account or others, that share the work with those of Placement: a job's runs are dealt
	// by free slots, and a pool that cannot start hands its share over to the others.
	Places []Place

	Placement
	Logger *slog.Logger // nil is silence
}

// Placement is where and how the service is to run what it is given. A job may override it; see [engine.Job.Settings].
type Placement struct {
	Pool string        // ID of the pool; several, with commas, share the work
	Time time.Duration // the service ends a process that runs longer; 0: no limit but the job's Lifetime
}

// Defaults of Config.
const (
	DefaultPoll     = 3 * time.Second
	DefaultStart    = 45 * time.Minute   // two evaluations of an autoscale formula and a slow start
	DefaultLifetime = 6 * 24 * time.Hour // a token that is made without a key of the account is good for 7 days at most
	DefaultRetries  = 1
)

func init() {
	engine.Register("azbatch", func(_ context.Context, u *url.URL, c engine.Config) (engine.Engine, error) {
		config, err := parse(u)
		if err != nil {
			return nil, err
		}
		config.Logger = c.Logger
		return New(config)
	})
}

// parse reads azbatch://account.region.batch.azure.com?pool=NAME.
func parse(u *url.URL) (Config, error) {
	c := Config{Endpoint: "https://" + u.Host}
	if u.Opaque != "" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return c, fmt.Errorf("azbatch: %s: want azbatch://account.region.batch.azure.com?pool=NAME, with further settings behind an &", u.Redacted())
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return c, fmt.Errorf("azbatch: %s: %w", u.Redacted(), err)
	}
	for name, values := range q {
		for _, value := range values {
			if err := c.set(name, value); err != nil {
				return c, fmt.Errorf("azbatch: %s: %s=%s: %w", u.Host, name, value, err)
			}
		}
	}
	if strings.HasPrefix(c.Endpoint, "http:") {
		for i := range c.Places {
			c.Places[i].Endpoint = "http://" + strings.TrimPrefix(c.Places[i].Endpoint, "https://")
		}
	}
	if err := c.Make.readScript(); err != nil {
		return c, err
	}
	return c, nil
}

func (c *Config) set(name, value string) (err error) {
	switch name {
	case "poll":
		c.Poll, err = engine.ParseDuration(value)
	case "start":
		c.Start, err = engine.ParseDuration(value)
	case "lifetime":
		c.Lifetime, err = engine.ParseDuration(value)
	case "retries":
		if c.Retries, err = strconv.Atoi(value); err == nil && (c.Retries < 0 || c.Retries > 100) {
			err = fmt.Errorf("want 0 to 100")
		}
		if c.Retries == 0 {
			c.Retries = -1
		}
	case "http":
		var plain bool
		if plain, err = strconv.ParseBool(value); err == nil && plain {
			c.Endpoint = "http://" + strings.TrimPrefix(c.Endpoint, "https://")
		}
	case "platform":
		c.Platform = value
	case "region":
		c.Region = value
	case "nodememory":
		c.NodeMemory, err = parseMemory(value)
	case "nodegpus":
		if c.NodeGPUs, err = strconv.Atoi(value); err == nil && c.NodeGPUs < 1 {
			err = fmt.Errorf("want at least 1")
		}
	case "place":
		var p Place
		p, err = parsePlace(value)
		c.Places = append(c.Places, p)
	default:
		var known bool
		if known, err = c.Placement.set(name, value); !known {
			known, err = c.Make.set(name, value)
		}
		if !known {
			err = fmt.Errorf("no such setting; there are %s, place, nodememory, nodegpus, poll, start, lifetime, retries, platform, region, http, and of a pool to be made %s", placementNames, poolNames)
		}
	}
	return err
}

const placementNames = "pool, time"

func (p *Placement) set(name, value string) (known bool, err error) {
	switch name {
	case "pool":
		p.Pool = value
		for pool := range strings.SplitSeq(value, ",") {
			if !validPool(pool) {
				err = fmt.Errorf("want 1 to 64 letters, digits, '-' or '_'; several with commas")
			}
		}
	case "time":
		p.Time, err = engine.ParseDuration(value)
	default:
		return false, nil
	}
	return true, err
}

// placement is where the runs of a job go.
func (c *Config) placement(settings []string) (Placement, error) {
	p := c.Placement
	if err := engine.ParseSettings("azbatch", settings, placementNames, p.set); err != nil {
		return p, err
	}
	if p.Pool == "" {
		return p, fmt.Errorf("no pool: name one with the setting pool, as in azbatch://…?pool=NAME")
	}
	return p, nil
}

// check refuses endpoints to which a token must not be sent, and a pool that cannot be made.
func (c *Config) check() error {
	if c.Make != (PoolSpec{}) {
		if err := c.Make.check(); err != nil {
			return fmt.Errorf("azbatch: pool %s: %w", c.Pool, err)
		}
	}
	if err := checkEndpoint(c.Endpoint); err != nil {
		return err
	}
	if err := checkPlatform(c.Platform); err != nil {
		return err
	}
	seen := map[string]bool{}
	for pool := range strings.SplitSeq(c.Pool, ",") {
		seen[hostOf(c.Endpoint)+"/"+pool] = true
	}
	for _, p := range c.Places {
		if err := checkEndpoint(cmp.Or(p.Endpoint, c.Endpoint)); err != nil {
			return err
		}
		if !validPool(p.Pool) {
			return fmt.Errorf("azbatch: a place has no pool, or one of a wrong name: %q", p.Pool)
		}
		seen[hostOf(cmp.Or(p.Endpoint, c.Endpoint))+"/"+p.Pool] = true
	}
	if n := strings.Count(c.Pool, ",") + 1 + len(c.Places); len(seen) < n || n > maxPlaces {
		return fmt.Errorf("azbatch: a pool is named twice, or there are more than %d", maxPlaces)
	}
	return nil
}

func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return fmt.Errorf("azbatch: endpoint: %w", err)
	}
	if u.Scheme == "http" && !loopback(u.Host) {
		return fmt.Errorf("azbatch: %s: plain http is for an emulator on this machine: a token would be sent that others can read", u.Host)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("azbatch: endpoint %q: want https://account.region.batch.azure.com", endpoint)
	}
	return nil
}

func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && a.IsLoopback()
}
