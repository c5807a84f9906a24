package apicheck_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/clusterless-go/clusterless/emulator/internal/apicheck"
)

// shared is where Microsoft's files lie beside the repository, if they do.
const shared = "../../../../shared/azure-batch-api"

// quirks are what is wrong with Microsoft's examples, by name and status.
var quirks = map[string][]string{
	"PoolAdd_SecurityProfile 201":                           {"request: body: /virtualMachineConfiguration/securityProfile/uefiSettings/vTpmEnabled: Value is not nullable"},
	"PoolAdd_VirtualMachineConfigurationWithExtensions 201": {"request: body: /virtualMachineConfiguration/extensions/0/settings: value must be an object"},
	"PoolGet_VirtualMachineConfigurationWithExtensions 200": {"answer: body: /virtualMachineConfiguration/extensions/0/settings: value must be an object"},
}

type swagger struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct {
			Name, In string
		}
		Examples map[string]struct {
			Ref string `json:"$ref"`
		} `json:"x-ms-examples"`
	}
}

type example struct {
	Parameters map[string]any
	Responses  map[string]struct {
		Headers map[string]string
		Body    json.RawMessage
	}
}

func read(t *testing.T, name string, v any) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Each of Microsoft's examples goes as a request to a server that gives the example's answer; the Checker stands on
// both sides.
func TestExamples(t *testing.T) {
	if _, err := os.Stat(shared); err != nil {
		t.Logf("without Microsoft's examples, which are not at %s, this test does nothing", shared)
		return
	}
	var doc swagger
	read(t, filepath.Join(shared, "BatchService.json"), &doc)
	c, err := apicheck.New()
	if err != nil {
		t.Fatal(err)
	}
	exchanges, files := 0, map[string]bool{}
	for path, item := range doc.Paths {
		for method, op := range item {
			for _, ref := range op.Examples {
				name := strings.TrimSuffix(filepath.Base(ref.Ref), ".json")
				files[name] = true
				var e example
				read(t, filepath.Join(shared, ref.Ref), &e)
				target, query, header, body := path, url.Values{}, http.Header{}, []byte(nil)
				for key, value := range e.Parameters {
					s := fmt.Sprint(value)
					if strings.Contains(path, "{"+key+"}") {
						target = strings.ReplaceAll(target, "{"+key+"}", url.PathEscape(s))
						continue
					}
					for _, p := range op.Parameters {
						switch {
						case p.Name != key:
						case p.In == "query":
							query.Set(key, s)
						case p.In == "header":
							header.Set(key, s)
						case p.In == "body":
							body, _ = json.Marshal(value)
							header.Set("Content-Type", "application/json; odata=minimalmetadata; charset=utf-8")
						}
					}
				}
				query.Set("api-version", "2024-07-01.20.0") // a parameter of all operations, which is not repeated in each
				for status, answer := range e.Responses {
					exchanges++
					t.Run(name+" "+status, func(t *testing.T) {
						code, err := strconv.Atoi(status)
						if err != nil {
							t.Fatal(err)
						}
						r, err := http.NewRequest(strings.ToUpper(method), target+"?"+query.Encode(), bytes.NewReader(body))
						if err != nil {
							t.Fatal(err)
						}
						r.Header = header
						got := exchange(t, c, r, func(w http.ResponseWriter, r *http.Request) {
							answerWith(w, r, code, answer.Body)
						})
						if want := quirks[name+" "+status]; !slices.Equal(got, want) {
							t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
						}
					})
				}
			}
		}
	}
	t.Logf("%d requests and answers of %d examples", exchanges, len(files))
}

func TestDescriptionIsMicrosofts(t *testing.T) {
	want, err := os.ReadFile(filepath.Join(shared, "BatchService.json"))
	if err != nil {
		t.Logf("without Microsoft's description, which is not in %s, it is only unpacked", shared)
	}
	f, err := os.Open("description/BatchService.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if want != nil && !bytes.Equal(got, want) {
		t.Errorf("the description here has %d bytes, Microsoft's has %d: run go generate", len(got), len(want))
	}
}
