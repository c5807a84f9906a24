package price

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Endpoint is Microsoft's public price list. It wants no account.
// https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
const Endpoint = "https://prices.azure.com/api/retail/prices"

// A Client asks the price list.
type Client struct {
	Endpoint string       // "": [Endpoint]
	HTTP     *http.Client // nil: one with a time limit of a minute for each request
}

// Limits of what is taken from the list: a region has some thousand items, by 100 or 1,000 a page.
const (
	maxPages = 1000
	maxPage  = 32 << 20
	maxTries = 6
)

// page is one answer of the list.
type page struct {
	BillingCurrency string
	Items           []item
	NextPageLink    string
}

// item is a meter of the list. All of a VM size of Linux have the same armSkuName: dedicated, Spot, Low Priority; and those of
// Windows and of Cloud Services too, which only the product's name tells apart.
type item struct {
	CurrencyCode       string    `json:"currencyCode"`
	TierMinimumUnits   float64   `json:"tierMinimumUnits"`
	RetailPrice        float64   `json:"retailPrice"`
	ArmRegionName      string    `json:"armRegionName"`
	EffectiveStartDate time.Time `json:"effectiveStartDate"`
	MeterName          string    `json:"meterName"`
	ProductName        string    `json:"productName"`
	SkuName            string    `json:"skuName"`
	UnitOfMeasure      string    `json:"unitOfMeasure"`
	Type               string    `json:"type"`
	ArmSkuName         string    `json:"armSkuName"`
}

// Fetch asks for the prices of all VM sizes of a region, which takes some seconds to a minute.
func (c *Client) Fetch(ctx context.Context, region string) (*Table, error) {
	region = keyOf(region, "").region
	if region == "" || strings.ContainsAny(region, "'&?#/ ") {
		return nil, fmt.Errorf("price list: region %q: want a name as westeurope", region)
	}
	base := c.Endpoint
	if base == "" {
		base = Endpoint
	}
	first, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("price list: %w", err)
	}
	// Values are compared with their case.
	filter := "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq '" + region + "'"
	first.RawQuery = url.Values{"$filter": {filter}}.Encode()
	rows := rows{found: map[key]*row{}, now: time.Now()}
	next := first
	for n := 0; next != nil; n++ {
		if n == maxPages {
			return nil, fmt.Errorf("price list: %s: more than %d pages", region, maxPages)
		}
		p, err := c.page(ctx, next)
		if err != nil {
			return nil, fmt.Errorf("price list: %s: page %d: %w", region, n+1, err)
		}
		if p.BillingCurrency != "" && p.BillingCurrency != "USD" {
			return nil, fmt.Errorf("price list: %s: prices in %s, want USD", region, p.BillingCurrency)
		}
		for i := range p.Items {
			rows.add(&p.Items[i])
		}
		if next, err = follow(first, p.NextPageLink); err != nil {
			return nil, fmt.Errorf("price list: %s: %w", region, err)
		}
	}
	t := rows.table(region)
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("price list: it has no VM sizes for the region %q: want a name as westeurope", region)
	}
	return t, nil
}

// follow is the URL of the next page, nil after the last one. It must be of the same server.
func follow(first *url.URL, link string) (*url.URL, error) {
	if link == "" {
		return nil, nil
	}
	u, err := url.Parse(link)
	if err != nil {
		return nil, fmt.Errorf("next page: %w", err)
	}
	if u.Scheme != first.Scheme || host(u) != host(first) {
		return nil, fmt.Errorf("next page: it is elsewhere, at %s", u.Host)
	}
	return u, nil
}

// host is a URL's, with the port, which the list's links name though it is the usual one.
func host(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// page gets one page. What is too much for the service at the moment is asked for again.
func (c *Client) page(ctx context.Context, u *url.URL) (*page, error) {
	client := c.HTTP
	if client == nil {
		client = &http.Client{Timeout: time.Minute}
	}
	pause := time.Second
	for try := 1; ; try++ {
		p, wait, err := get(ctx, client, u)
		var passing *passingError
		if err == nil || !errors.As(err, &passing) || try == maxTries {
			return p, err
		}
		select {
		case <-time.After(max(pause, wait)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		pause *= 2
	}
}

// passingError is one that another try may not meet.
type passingError struct{ error }

func (e *passingError) Unwrap() error { return e.error }

func get(ctx context.Context, client *http.Client, u *url.URL) (p *page, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("User-Agent", "clusterless")
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		return nil, 0, &passingError{err}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		err := fmt.Errorf("the service answers %s", resp.Status)
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
			seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
			return nil, min(time.Duration(seconds)*time.Second, time.Minute), &passingError{err}
		}
		return nil, 0, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	if err != nil {
		return nil, 0, &passingError{err}
	}
	p = &page{}
	if err := json.Unmarshal(b, p); err != nil {
		return nil, 0, fmt.Errorf("the answer is not what was expected: %w", err)
	}
	return p, 0, nil
}

// rows gathers items.
type rows struct {
	found map[key]*row
	now   time.Time
}

// row is a size, with the items that gave its prices.
type row struct {
	size            string
	dedicated, spot *item
}

// add takes in an item, if it is the price of a Linux node by the hour. Of several that of the latest date counts that has come,
// of these the highest.
func (r *rows) add(i *item) {
	if i.ArmSkuName == "" || i.Type != "Consumption" || i.UnitOfMeasure != "1 Hour" || i.RetailPrice <= 0 || i.TierMinimumUnits > 0 ||
		i.CurrencyCode != "" && i.CurrencyCode != "USD" || i.EffectiveStartDate.After(r.now) ||
		strings.Contains(i.ProductName, "Windows") || strings.Contains(i.ProductName, "Cloud Services") ||
		strings.HasSuffix(i.SkuName, "Low Priority") || strings.HasSuffix(i.MeterName, "Low Priority") {
		return
	}
	k := keyOf(i.ArmRegionName, i.ArmSkuName)
	x := r.found[k]
	if x == nil {
		x = &row{size: i.ArmSkuName}
		r.found[k] = x
	}
	at := &x.dedicated
	if strings.HasSuffix(i.SkuName, " Spot") || strings.HasSuffix(i.MeterName, " Spot") {
		at = &x.spot
	}
	if old := *at; old == nil || i.EffectiveStartDate.After(old.EffectiveStartDate) ||
		i.EffectiveStartDate.Equal(old.EffectiveStartDate) && i.RetailPrice > old.RetailPrice {
		*at = i
	}
}

func (r *rows) table(region string) *Table {
	t := &Table{rows: map[key]Price{}}
	for k, x := range r.found {
		if k.region != region {
			continue
		}
		p := Price{Region: region, Size: x.size, Date: r.now.UTC().Truncate(24 * time.Hour)}
		if x.dedicated != nil {
			p.Dedicated = x.dedicated.RetailPrice
		}
		if x.spot != nil {
			p.Spot = x.spot.RetailPrice
		}
		t.rows[k] = p
	}
	return t
}
