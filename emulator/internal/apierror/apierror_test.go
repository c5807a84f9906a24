package apierror

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTable compares the codes and their status with the list that was taken from Microsoft's documentation.
func TestTable(t *testing.T) {
	b, err := os.ReadFile(filepath.FromSlash("../../../../shared/azure-batch-api/error-codes.tsv"))
	if err != nil {
		t.Logf("the list of codes is not here (%v): only the texts are looked at", err)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 3 || f[0] == "code" {
			continue
		}
		listed[f[0]] = true
		want, _ := strconv.Atoi(f[1])
		if f[1] == "304/412" {
			want = 412
		}
		if r, ok := table[f[0]]; !ok {
			t.Errorf("%s is not in the table", f[0])
		} else if r.status != want {
			t.Errorf("%s has status %d, want %s", f[0], r.status, f[1])
		}
	}
	for code, r := range table {
		if r.text == "" {
			t.Errorf("%s has no text", code)
		}
		if len(listed) > 0 && !listed[code] && code != FailureExitCode && code != TooManyRequests {
			t.Errorf("%s is in the table, but not in the list", code)
		}
	}
}

func TestError(t *testing.T) {
	var err error = fmt.Errorf("create: %w", Property("id", "a b", "it has a space"))
	if !errors.Is(err, New(InvalidPropertyValue)) || errors.Is(err, New(JobNotFound)) {
		t.Errorf("%v: compared by its code, it is not InvalidPropertyValue", err)
	}
	if got, want := Of(err).Error(), "InvalidPropertyValue: The value provided for one of the properties in the request body is invalid."+
		" PropertyName: id. PropertyValue: a b. Reason: it has a space."; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := Of(errors.New("the password is 1234")); got.Status != 500 || strings.Contains(got.Error(), "1234") {
		t.Errorf("an unknown error became %v", got)
	}
	base := New(JobExists)
	a, b := base.With("A", "1"), base.With("B", "2")
	if len(base.Values) != 0 || len(a.Values) != 1 || a.Values[0].Key != "A" || b.Values[0].Key != "B" {
		t.Errorf("With changed what it copied: %v, %v, %v", base, a, b)
	}
}

// TestBody is an answer of the service as Microsoft's own tests have recorded it.
func TestBody(t *testing.T) {
	when := time.Date(2024, 10, 24, 1, 15, 20, 915907700, time.UTC)
	got, err := json.Marshal(New(ConditionNotMet).Body("dcba8837-c8af-4f08-bc98-cb4ea13cc4d1", when))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"code":"ConditionNotMet","message":{"lang":"en-US","value":"The condition specified using HTTP conditional header(s) is not met.` +
		`\nRequestId:dcba8837-c8af-4f08-bc98-cb4ea13cc4d1\nTime:2024-10-24T01:15:20.9159077Z"}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNewPanicsForACodeOfNoResponse(t *testing.T) {
	for _, code := range []string{"", "Nothing", BlobNotFound} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%q) did not panic", code)
				}
			}()
			New(code)
		}()
	}
}
