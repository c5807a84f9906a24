// Package original reads the configuration files of AzureClusterlessHPC.jl, from which this project took its idea:
// credentials.json, with one account or a list of them, and parameters.json. Files of its users keep working. What their keys
// mean is in docs/configuration.md; where they are looked for, at [Find].
package original

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The variables that name the files, or the directories that they are in.
const (
	EnvCredentials = "CREDENTIALS"
	EnvParameters  = "PARAMETERS"
)

// The names of the files where they are looked for.
const (
	credentialsName = "credentials.json"
	parametersName  = "parameters.json"
)

// A Secret is a text that is not printed by accident: fmt, slog and JSON write something else in its place.
type Secret struct{ text string }

// Reveal is the text itself.
func (s Secret) Reveal() string { return s.text }

// String hides the text.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "[secret]"
}

// GoString hides it from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides it from JSON and slog.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// An Account is an entry of credentials.json: a Batch account with a storage account, and how to get in.
type Account struct {
	BatchURL       string // https://account.region.batch.azure.com
	Region         string // "" if the file does not say
	StorageAccount string
	StorageURL     string // of its blobs, where it is not https://ACCOUNT.blob.core.windows.net; ours
	Tenant, Client string // of Entra ID; "" for whoever is logged in
	Secret         Secret // of the client
	StorageKey     Secret // "" if the client is to be used for the storage as well
}

// Files are what was found.
type Files struct {
	CredentialsPath string // "" if there is none
	ParametersPath  string // "" if there is none
	Accounts        []Account
	Parameters      Parameters
	Notes           []string // what is ignored, for people
}

// places are the directories in which the files are looked for.
func places() []string {
	dirs := []string{"."}
	if dir, err := os.UserConfigDir(); err == nil {
		dirs = append(dirs, filepath.Join(dir, "clusterless"))
	}
	return dirs
}

// Find reads the files, of which each is the first of these: the one that its variable names, which must be there (of a directory
// the one in it); else the one in the working directory; else the one in the directory "clusterless" of the user's configuration
// directory. Without a variable, files of the same name that have none of the known keys are somebody else's, and
// parameters.json counts only beside or with a credentials.json. It returns nil if there is none.
func Find() (*Files, error) {
	path, keys, err := find(EnvCredentials, credentialsName, places())
	if err != nil {
		return nil, err
	}
	f := &Files{CredentialsPath: path}
	if path != "" {
		if err := f.readAccounts(path, keys); err != nil {
			return nil, err
		}
	}
	var dirs []string
	if path != "" {
		dirs = []string{filepath.Dir(path)}
	}
	if f.ParametersPath, keys, err = find(EnvParameters, parametersName, dirs); err != nil {
		return nil, err
	}
	if f.CredentialsPath == "" && f.ParametersPath == "" {
		return nil, nil
	}
	var given map[string]any
	if len(keys) > 0 {
		given = keys[0]
	}
	if f.Parameters, err = readParameters(given, &f.Notes); err != nil {
		return nil, fmt.Errorf("%s: %w", f.ParametersPath, err)
	}
	return f, nil
}

// find looks for one of the files and reads it: an object, or a list of objects.
func find(variable, name string, dirs []string) (path string, objects []map[string]any, err error) {
	named := os.Getenv(variable)
	if named != "" {
		if info, err := os.Stat(named); err == nil && info.IsDir() {
			named = filepath.Join(named, name)
		}
		if objects, err = read(named); err != nil {
			return "", nil, fmt.Errorf("file that %s names: %w", variable, err)
		}
		path, err = filepath.Abs(named)
		return path, objects, err
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		objects, err := read(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !ours(objects) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		path, err = filepath.Abs(path)
		return path, objects, err
	}
	return "", nil, nil
}

func read(path string) ([]map[string]any, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimPrefix(b, []byte("\uFEFF")) // as editors of Windows begin a file
	var one map[string]any
	var list []map[string]any
	if json.Unmarshal(b, &one) == nil {
		return []map[string]any{one}, nil
	}
	if err = json.Unmarshal(b, &list); err == nil {
		return list, nil
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) { // its text may quote the file, which holds secrets
		line := 1 + strings.Count(string(b[:min(int(syntax.Offset), len(b))]), "\n")
		return nil, fmt.Errorf("%s:%d: not JSON", path, line)
	}
	return nil, fmt.Errorf("%s: want a JSON object, or a list of objects", path)
}

// ours reports whether a file has a key that the original knows.
func ours(objects []map[string]any) bool {
	for _, o := range objects {
		for k := range o {
			if _, known := accountKeys[k]; known {
				return true
			}
			if _, known := defaults[k]; known {
				return true
			}
		}
	}
	return false
}

// accountKeys are the keys of an account, with why one is ignored.
var accountKeys = map[string]string{
	"_AD_TENANT": "", "_AD_BATCH_CLIENT_ID": "", "_AD_SECRET_BATCH": "", "_BATCH_ACCOUNT_URL": "", "_REGION": "",
	"_STORAGE_ACCOUNT_NAME": "", "_STORAGE_ACCOUNT_KEY": "", "_STORAGE_ACCOUNT_URL": "",
	"_BATCH_ACCOUNT_NAME":               "", // said by the URL too
	"_BATCH_RESOURCE":                   "", // which the SDK knows
	"_APP_INSIGHTS_APP_ID":              "nodes run no insights agent",
	"_APP_INSIGHTS_INSTRUMENTATION_KEY": "nodes run no insights agent",
}

func (f *Files) readAccounts(path string, objects []map[string]any) error {
	fail := func(i int, format string, args ...any) error {
		where := path
		if len(objects) > 1 {
			where += fmt.Sprintf(": account %d", i+1)
		}
		return fmt.Errorf("%s: %s", where, fmt.Sprintf(format, args...))
	}
	for i, o := range objects {
		text := map[string]string{}
		for _, k := range slices.Sorted(maps.Keys(o)) {
			why, known := accountKeys[k]
			v, ok := scalar(o[k])
			switch {
			case !known:
				f.note("%s: %s is ignored: it is no key of an account", filepath.Base(path), k)
			case !ok:
				return fail(i, "%s: want a text", k)
			case why != "" && v != "":
				f.note("%s: %s is ignored: %s", filepath.Base(path), k, why)
			default:
				text[k] = v
			}
		}
		a := Account{BatchURL: strings.TrimRight(text["_BATCH_ACCOUNT_URL"], "/"), Region: text["_REGION"],
			StorageAccount: text["_STORAGE_ACCOUNT_NAME"], StorageURL: strings.TrimRight(text["_STORAGE_ACCOUNT_URL"], "/"),
			Tenant: text["_AD_TENANT"], Client: text["_AD_BATCH_CLIENT_ID"], Secret: Secret{text["_AD_SECRET_BATCH"]}, StorageKey: Secret{text["_STORAGE_ACCOUNT_KEY"]}}
		switch {
		case a.BatchURL == "" && text["_BATCH_ACCOUNT_NAME"] != "" && a.Region != "":
			a.BatchURL = "https://" + text["_BATCH_ACCOUNT_NAME"] + "." + a.Region + ".batch.azure.com"
		case a.BatchURL == "":
			return fail(i, "no _BATCH_ACCOUNT_URL, as https://account.region.batch.azure.com")
		}
		if a.StorageAccount == "" {
			return fail(i, "no _STORAGE_ACCOUNT_NAME")
		}
		if n := len(text["_AD_TENANT"]); (n > 0) != (a.Client != "") || (n > 0) != (a.Secret.text != "") {
			return fail(i, "_AD_TENANT, _AD_BATCH_CLIENT_ID and _AD_SECRET_BATCH belong together: give all three, or none to use whoever is logged in (az login)")
		}
		f.Accounts = append(f.Accounts, a)
	}
	if len(f.Accounts) == 0 {
		return fmt.Errorf("%s: it has no account", path)
	}
	return nil
}

// note notes something once.
func (f *Files) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(f.Notes, text) {
		f.Notes = append(f.Notes, text)
	}
}

// scalar is a value as the original writes them, which are texts; numbers and truth values are understood too.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case nil:
		return "", true
	case string:
		return strings.TrimSpace(v), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	}
	return "", false
}
