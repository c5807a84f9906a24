package azerror_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"

	"github.com/clusterless-go/clusterless/internal/azerror"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, body, want string }{
		{"Batch", `{"code":"InvalidPropertyValue","message":{"lang":"en-us","value":"One is invalid.\nRequestId:1\nTime:2"},"values":[{"key":"PropertyName","value":"httpUrl"},` +
			`{"key":"PropertyValue","value":"https://a.blob.core.windows.net/c/b?sv=1&sig=abc%2Bdef%3D&se=2"}]}`,
			"InvalidPropertyValue: One is invalid. (PropertyName: httpUrl) (PropertyValue: https://a.blob.core.windows.net/c/b?sv=1&sig=[secret]&se=2)"},
		{"environment", `{"code":"InvalidPropertyValue","message":{"value":"No."},"values":[{"key":"PropertyValue","value":"export CLUSTERLESS_STORE_TOKEN='https://h/c?se=1&sig=abc'\nexport X='1'\n"}]}`,
			"InvalidPropertyValue: No. (PropertyValue: export CLUSTERLESS_STORE_TOKEN='https://h/c?se=1&sig=[secret]' export X='1')"},
		{"ARM", `{"error":{"code":"QuotaExceeded","message":"As many as\r\nyou may \"have\"."}}`, `QuotaExceeded: As many as you may "have".: ask for more`},
		{"no body", ``, "Conflict"},
		{"not JSON", `<html>busy</html>`, "Conflict"},
		{"another form", `{"code":"C","message":["x"]}`, "C"},
	} {
		w := httptest.NewRecorder()
		w.WriteHeader(http.StatusConflict)
		w.WriteString(test.body)
		resp := w.Result()
		resp.Request = httptest.NewRequestWithContext(context.Background(), http.MethodGet, "http://localhost/", nil)
		err := azerror.Explain(fmt.Errorf("add: %w", runtime.NewResponseError(resp)), map[string]string{"QuotaExceeded": "ask for more"})
		if err.Error() != test.want || azerror.Status(err) != http.StatusConflict {
			t.Errorf("%s: %q, want %q", test.name, err, test.want)
		}
		if again := azerror.Explain(err, nil); again != err {
			t.Errorf("%s: explained again: %v", test.name, again)
		}
	}
	if other := errors.New("no answer"); azerror.Explain(other, nil) != other || azerror.Code(other) != "" || azerror.Status(other) != 0 {
		t.Error("an error that is no answer is changed")
	}
}
