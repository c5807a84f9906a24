package price_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/internal/price"
)

func TestEmbedded(t *testing.T) {
	table := price.Embedded()
	p, err := table.Find("West Europe", "standard_e2s_v3")
	if err != nil || p.Dedicated != 0.16 || p.Spot != 0.029568 || p.Date.Format(time.DateOnly) != "2026-08-20" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, p := range table.All("") {
		if p.Spot >= p.Dedicated || p.Dedicated <= 0 || p.Date.IsZero() || !strings.HasPrefix(p.Size, "Standard_") {
			t.Errorf("%+v", p)
		}
	}
	if perHour, err := p.Hour(2, 10); err != nil || math.Abs(perHour-0.61568) > 1e-9 {
		t.Errorf("2 and 10 nodes cost %v by the hour, %v", perHour, err)
	}
	for _, unknown := range []func() error{
		func() error { _, err := table.Find("westeurope", "Standard_X1"); return err },
		func() error { _, err := table.Find("moon", "Standard_E2s_v3"); return err },
		func() error { _, err := price.Price{Size: "S", Region: "r", Dedicated: 1}.Hour(0, 1); return err },
		func() error { _, err := price.Price{Size: "S", Region: "r", Spot: 1}.Hour(1, 1); return err },
	} {
		if err := unknown(); !errors.Is(err, price.ErrUnknown) || !strings.Contains(err.Error(), "--refresh --region") {
			t.Errorf("%v, want ErrUnknown and what to do", err)
		}
	}
}

// items are meters of one size as the list has them: Linux and Windows, dedicated, Spot and Low Priority, old, present and future,
// reserved and of Cloud Services.
func items(size string, dedicated, spot float64) (all []map[string]any) {
	short := strings.ReplaceAll(strings.TrimPrefix(size, "Standard_"), "_", " ")
	add := func(product, suffix, kind, unit, start string, usd float64) {
		all = append(all, map[string]any{
			"currencyCode": "USD", "tierMinimumUnits": 0.0, "retailPrice": usd, "unitPrice": usd, "armRegionName": "northeurope", "location": "EU North",
			"effectiveStartDate": start, "meterId": "000a794b-bdb0-58be-a0cd-0c3a0f222923", "meterName": short + suffix, "productId": "DZH318Z0BQPS",
			"skuId": "DZH318Z0BQPS/00TG", "productName": "Virtual Machines Dsv5 Series" + product, "skuName": short + suffix, "serviceName": "Virtual Machines",
			"serviceId": "DZH313Z7MMC8", "serviceFamily": "Compute", "unitOfMeasure": unit, "type": kind, "isPrimaryMeterRegion": true, "armSkuName": size,
		})
	}
	const past, present, future = "2020-01-01T00:00:00Z", "2024-05-01T00:00:00Z", "2999-01-01T00:00:00Z"
	add(" Windows", "", "Consumption", "1 Hour", present, 3*dedicated)
	add("", "", "Consumption", "1 Hour", past, 9*dedicated)
	add("", "", "Consumption", "1 Hour", present, dedicated)
	add("", "", "Consumption", "1 Hour", future, 2*dedicated)
	add("", " Low Priority", "Consumption", "1 Hour", present, dedicated/5)
	if spot > 0 {
		add("", " Spot", "Consumption", "1 Hour", present, spot)
		add(" Windows", " Spot", "Consumption", "1 Hour", present, 2*spot)
	}
	add("", "", "Reservation", "1 Hour", present, 500)
	add("", "", "DevTestConsumption", "1 Hour", present, dedicated/2)
	add(" Cloud Services", "", "Consumption", "1 Hour", present, 7*dedicated)
	return all
}

// list serves documents of the form that Microsoft documents for the price list, a few items a page.
func list(t *testing.T, all []map[string]any, change func(w http.ResponseWriter, r *http.Request, skip int) bool) *httptest.Server {
	t.Helper()
	const perPage = 7
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		skip, _ := strconv.Atoi(q.Get("$skip"))
		if change != nil && change(w, r, skip) {
			return
		}
		if r.Method != http.MethodGet || r.URL.Path != "/api/retail/prices" || r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		var some []map[string]any
		if q.Get("$filter") == "serviceName eq 'Virtual Machines' and priceType eq 'Consumption' and armRegionName eq 'northeurope'" {
			some = all
		}
		page := some[min(skip, len(some)):min(skip+perPage, len(some))]
		if page == nil {
			page = []map[string]any{}
		}
		var next any
		if skip+perPage < len(some) {
			next = fmt.Sprintf("%s/api/retail/prices?$filter=%s&$skip=%d", server.URL, url.QueryEscape(q.Get("$filter")), skip+perPage)
		}
		json.NewEncoder(w).Encode(map[string]any{"BillingCurrency": "USD", "CustomerEntityId": "Default", "CustomerEntityType": "Retail", "Items": page, "NextPageLink": next, "Count": len(page)})
	}))
	t.Cleanup(server.Close)
	return server
}

func client(s *httptest.Server) *price.Client {
	return &price.Client{Endpoint: s.URL + "/api/retail/prices"}
}

func TestRefresh(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	all := append(items("Standard_D2s_v5", 0.11, 0.02), items("Standard_D4s_v5", 0.22, 0.04)...)
	all = append(all, items("Standard_M8ms", 1.7, 0)...)
	busy := 2
	s := list(t, all, func(w http.ResponseWriter, _ *http.Request, skip int) bool {
		if skip == 7 && busy > 0 {
			busy--
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		return false
	})
	fetched, err := client(s).Fetch(t.Context(), "North Europe")
	if err != nil {
		t.Fatal(err)
	}
	path, err := fetched.Save()
	if err != nil {
		t.Fatal(err)
	}
	table, err := price.Open()
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().UTC().Format(time.DateOnly)
	for size, want := range map[string][2]float64{"Standard_D2s_v5": {0.11, 0.02}, "Standard_D4s_v5": {0.22, 0.04}, "Standard_M8ms": {1.7, 0}} {
		p, err := table.Find("northeurope", size)
		if err != nil || p.Dedicated != want[0] || p.Spot != want[1] || p.Date.Format(time.DateOnly) != today {
			t.Errorf("%s: %+v, %v; want %v of today", size, p, err, want)
		}
	}
	if _, err := table.Find("westeurope", "Standard_E2s_v3"); err != nil {
		t.Errorf("a region that was not refreshed: %v", err)
	}
	if got := strings.Join(table.Regions(), " "); got != "northeurope westeurope" {
		t.Errorf("regions: %s", got)
	}

	// A second refresh replaces the region, and leaves others.
	if fetched, err = client(list(t, items("Standard_D2s_v5", 0.12, 0.03), nil)).Fetch(t.Context(), "northeurope"); err == nil {
		_, err = fetched.Save()
	}
	if err != nil {
		t.Fatal(err)
	}
	if table, err = price.Open(); err != nil {
		t.Fatal(err)
	}
	if p, err := table.Find("northeurope", "Standard_D2s_v5"); err != nil || p.Dedicated != 0.12 {
		t.Errorf("refreshed again: %+v, %v", p, err)
	}
	if _, err := table.Find("northeurope", "Standard_M8ms"); !errors.Is(err, price.ErrUnknown) {
		t.Errorf("a size that is gone from the list: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	if err := os.WriteFile(path, []byte("region,size\nx,y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := price.Open(); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "--refresh") {
		t.Errorf("a damaged file: %v", err)
	}
	if _, err := fetched.Save(); err != nil {
		t.Error(err)
	}
	if _, err := price.Open(); err != nil {
		t.Errorf("after a refresh: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".prices-*")); len(left) > 0 || err != nil {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestBadLists(t *testing.T) {
	t.Parallel()
	good := items("Standard_D2s_v5", 0.11, 0.02)
	for name, test := range map[string]struct {
		region string
		change func(w http.ResponseWriter, r *http.Request, skip int) bool
		want   string
	}{
		"another region": {"southeurope", nil, "no VM sizes for the region"},
		"no region":      {"a' or '1", nil, "want a name as westeurope"},
		"no JSON":        {"northeurope", func(w http.ResponseWriter, _ *http.Request, _ int) bool { fmt.Fprint(w, "<html>"); return true }, "not what was expected"},
		"refused": {"northeurope", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusBadRequest)
			return true
		}, "400"},
		"euro": {"northeurope", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			fmt.Fprint(w, `{"BillingCurrency":"EUR","Items":[],"NextPageLink":null,"Count":0}`)
			return true
		}, "EUR"},
		"elsewhere": {"northeurope", func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			fmt.Fprint(w, `{"BillingCurrency":"USD","Items":[],"NextPageLink":"http://127.0.0.2:1/more","Count":0}`)
			return true
		}, "elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := client(list(t, good, test.change)).Fetch(t.Context(), test.region); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	s := list(t, good, func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		cancel()
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	if _, err := client(s).Fetch(ctx, "northeurope"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRegion(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://a.westeurope.batch.azure.com": "westeurope", "a.westeurope.batch.azure.com": "westeurope", "https://A.EastUS2.batch.azure.com/": "eastus2", "http://127.0.0.1:1": "", "https://localhost": "",
		"https://a.chinaeast.batch.chinacloudapi.cn": "chinaeast",
	} {
		if got := price.Region(endpoint); got != want {
			t.Errorf("%s: %q, want %q", endpoint, got, want)
		}
	}
}
