package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// said runs the command line in this process.
func said(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	c := command()
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	err := c.ExecuteContext(t.Context())
	return out.String(), err
}

func TestPrices(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("CLUSTERLESS_DIR", home)
	t.Chdir(home)
	list := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Query().Get("$filter"), "'northeurope'") {
			t.Errorf("asked for %s", r.URL)
		}
		fmt.Fprint(w, `{"BillingCurrency": "USD", "CustomerEntityId": "Default", "CustomerEntityType": "Retail", "NextPageLink": null, "Count": 1, "Items": [
			{"currencyCode": "USD", "tierMinimumUnits": 0, "retailPrice": 0.5, "unitPrice": 0.5, "armRegionName": "northeurope", "location": "EU North",
			"effectiveStartDate": "2024-01-01T00:00:00Z", "meterName": "D4s v5", "productName": "Virtual Machines Dsv5 Series", "skuName": "Standard_D4s_v5",
			"serviceName": "Virtual Machines", "serviceFamily": "Compute", "unitOfMeasure": "1 Hour", "type": "Consumption", "isPrimaryMeterRegion": true, "armSkuName": "Standard_D4s_v5"}]}`)
	}))
	defer list.Close()
	defer func(old string) { priceList = old }(priceList)
	priceList = list.URL

	for _, test := range []struct {
		args  string
		wants []string
		fails string
	}{
		{"prices Standard_D4s_v5", []string{"westeurope", "0.23 USD", "0.0425 USD", "2026-08-20"}, ""},
		{"prices standard_d4s_v5 --nodes 10 --spot 100 --time 8h", []string{"TOTAL", "52.40 USD"}, ""},
		{"prices --region northeurope Standard_D4s_v5", nil, "--refresh --region northeurope"},
		{"prices --refresh --region northeurope", []string{"northeurope: 1 VM sizes, in " + home}, ""},
		{"prices --region northeurope Standard_D4s_v5 --nodes 2", []string{"0.5 USD", "?", "1.00 USD"}, ""},
		{"prices --region northeurope Standard_D4s_v5 --spot 2", nil, "spot Standard_D4s_v5 nodes in northeurope: the price is unknown"},
		{"prices Standard_D4s_v5 --region westeurope --nodes 10 --time 8h --json", []string{`{"region":"westeurope","vmsize":"Standard_D4s_v5","dedicated":0.23,"spot":0.042504,"date":"2026-08-20","total":18.4`}, ""},
		{"prices --region northeurope Standard_D4s_v5 --json", []string{`"dedicated":0.5,"spot":null,`}, ""},
		{"prices --time 8h --json", nil, "for the list"},
		{"prices Standard_X", nil, "the price is unknown"},
		{"prices", []string{"northeurope", "Standard_E2s_v3"}, ""},
		{"prices --refresh Standard_X", nil, "leave them out"},
		{"prices --time 8h", nil, "cost nothing"},
	} {
		out, err := said(t, strings.Fields(test.args)...)
		if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: %v, want %q", test.args, err, test.fails)
		}
		for _, want := range test.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", test.args, want, out)
			}
		}
	}
}
