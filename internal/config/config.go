// Package config reads the configuration file, clusterless.toml, and joins it with what the environment and options say, and
// with the files of the original under it. docs/configuration.md specifies the file.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/clusterless-go/clusterless/internal/original"
	"github.com/clusterless-go/clusterless/internal/spelling"
)

// Name is the file's name where it is looked for.
const Name = "clusterless.toml"

// EnvFile is the variable that names the file.
const EnvFile = "CLUSTERLESS_CONFIG"

// A File is a configuration file. The zero File says nothing.
type File struct {
	Path string `toml:"-"` // "" if there is none
	// Profiles are selected by their name in place of an engine's URL.
	Profiles map[string]Profile `toml:"profile"`
	Profile
	// Original are credentials.json and parameters.json, which count where the file says nothing; nil if there are none.
	Original *original.Files `toml:"-"`
}

// A Profile is an engine with its settings.
type Profile struct {
	Engine  string  `toml:"engine"`  // URL, or the name of a profile
	Dir     string  `toml:"dir"`     // as the option Dir; relative to the file, "~/" is the home directory
	Store   string  `toml:"store"`   // URL
	Program string  `toml:"program"` // path; relative to the file
	Local   Local   `toml:"local"`
	Slurm   Slurm   `toml:"slurm"`
	AzBatch AzBatch `toml:"azbatch"`
}

// Local are settings of the local engine, as in its URL.
type Local struct {
	Slots    int    `toml:"slots"`
	Memory   string `toml:"memory"`
	LogLimit string `toml:"loglimit"`
}

// Slurm are settings of the Slurm engine, as in its URL.
type Slurm struct {
	Partition  string   `toml:"partition"`
	Account    string   `toml:"account"`
	QOS        string   `toml:"qos"`
	Constraint string   `toml:"constraint"`
	Time       string   `toml:"time"`
	Exclude    string   `toml:"exclude"`
	GRES       string   `toml:"gres"`
	Requeue    *bool    `toml:"requeue"`
	Flag       []string `toml:"flag"`
	Poll       string   `toml:"poll"`
	Pack       string   `toml:"pack"`
	MaxJobs    int      `toml:"maxjobs"`
	Scratch    string   `toml:"scratch"`
}

// AzBatch are settings of the Azure Batch engine, as in its URL.
type AzBatch struct {
	Pool       string   `toml:"pool"`
	Place      []string `toml:"place"`
	Time       string   `toml:"time"`
	Poll       string   `toml:"poll"`
	Start      string   `toml:"start"`
	Lifetime   string   `toml:"lifetime"`
	Retries    *int     `toml:"retries"`
	Region     string   `toml:"region"`
	Platform   string   `toml:"platform"`
	HTTP       bool     `toml:"http"`
	NodeMemory string   `toml:"nodememory"`
	NodeGPUs   int      `toml:"nodegpus"`

	VMSize      string `toml:"vmsize"`
	Slots       int    `toml:"slots"`
	Image       string `toml:"image"`
	Agent       string `toml:"agent"`
	StartScript string `toml:"startscript"`
	InterNode   bool   `toml:"internode"`
	Nodes       int    `toml:"nodes"`
	Spot        int    `toml:"spot"`
	MaxNodes    int    `toml:"maxnodes"`
	MaxSpot     int    `toml:"maxspot"`
	Formula     string `toml:"formula"`
	Interval    string `toml:"interval"`
	Lease       string `toml:"lease"`

	Identity         string `toml:"identity"`
	Container        string `toml:"container"`
	ContainerOptions string `toml:"containeroptions"`
	Registry         string `toml:"registry"`
	RegistryUser     string `toml:"registryuser"`
	RegistryIdentity string `toml:"registryidentity"`
}

// settings are the tables of a profile by the scheme of the engine that they are for.
func (p *Profile) settings() map[string]any {
	return map[string]any{"local": p.Local, "slurm": p.Slurm, "azbatch": p.AzBatch}
}

// Find returns the path of the file that counts, "" if there is none: the one that CLUSTERLESS_CONFIG names, which must
// be there; else clusterless.toml in the working directory; else the one in the directory "clusterless" of the user's
// configuration directory.
func Find() (string, error) {
	if path := os.Getenv(EnvFile); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", fmt.Errorf("configuration file that %s names: %w", EnvFile, err)
		}
		return filepath.Abs(path)
	}
	places := []string{Name}
	if dir, err := os.UserConfigDir(); err == nil {
		places = append(places, filepath.Join(dir, "clusterless", Name))
	}
	for _, path := range places {
		_, err := os.Stat(path)
		if err == nil {
			return filepath.Abs(path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("configuration file: %w", err)
		}
	}
	return "", nil
}

// prefix is what names of our environment variables begin with.
const prefix = "CLUSTERLESS_"

// variables are those that users set, without the prefix.
var variables = []string{"CONFIG", "ENGINE", "DIR", "STORE", "PROGRAM", "LOG", "PROGRESS"}

// checkEnviron refuses a variable whose name is nearly one of ours: it would have no effect. Others may be somebody else's.
func checkEnviron(environ []string) error {
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		rest, ours := strings.CutPrefix(name, prefix)
		if !ours || rest == "PROCESS" || slices.Contains(variables, rest) { // engines give PROCESS to what they start
			continue
		}
		if hint := spelling.Hint(rest, variables); hint != "" {
			return fmt.Errorf("environment variable %s: no such variable%s; there are, behind %s, %s", name, hint, prefix, strings.Join(variables, ", "))
		}
	}
	return nil
}

// Load reads the file that Find finds, and the original's files.
func Load() (*File, error) {
	if err := checkEnviron(os.Environ()); err != nil {
		return nil, err
	}
	path, err := Find()
	if err != nil {
		return nil, err
	}
	f := &File{}
	if path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("configuration file: %w", err)
		}
		if f, err = parse(path, b); err != nil {
			return nil, err
		}
	}
	f.Original, err = original.Find()
	return f, err
}

func parse(path string, b []byte) (*File, error) {
	f := &File{Path: path}
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(f)
	var strict *toml.StrictMissingError
	var bad *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		var errs []error
		for i := range strict.Errors {
			e := &strict.Errors[i]
			row, _ := e.Position()
			errs = append(errs, fmt.Errorf("%s:%d: unknown key %s%s", path, row, strings.Join(e.Key(), "."), known(e.Key())))
		}
		return nil, errors.Join(errs...)
	case errors.As(err, &bad):
		row, column := bad.Position()
		text := strings.TrimPrefix(bad.Error(), "toml: ")
		if m := mistyped.FindStringSubmatch(text); m != nil {
			text = fmt.Sprintf("%s: want %s, found a TOML %s", strings.Join(bad.Key(), "."), cmp.Or(wanted[m[2]], m[2]), m[1])
		}
		return nil, fmt.Errorf("%s:%d:%d: %s", path, row, column, text)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Profiles)) {
		p := f.Profiles[name]
		if p.Engine == "" {
			return nil, fmt.Errorf("%s: profile %s names no engine: give it one, as in engine = \"slurm:\"", path, name)
		}
		if _, nested := f.Profiles[p.Engine]; nested || strings.Contains(name, ":") {
			return nil, fmt.Errorf("%s: profile %s: the engine of a profile is a URL, and its name has no colon", path, name)
		}
	}
	return f, nil
}

// mistyped is what the TOML library says of a value of the wrong type, in words of Go.
var (
	mistyped = regexp.MustCompile(`^cannot decode TOML (.+) into (?:a )?(?:struct field \S+|Go value) of type (\S+)$`)
	wanted   = map[string]string{"int": "a whole number", "string": "text in quotes", "bool": "true or false", "float64": "a number"}
)

// CheckSetting refuses the name of a setting, as in slurm.partition, that the engine does not have. ok is false if the engine has no
// table in the file.
func CheckSetting(name string) (ok bool, err error) {
	scheme, name, _ := strings.Cut(name, ".")
	settings, ok := (&Profile{}).settings()[scheme]
	if !ok {
		return false, nil
	}
	if names := keys(reflect.TypeOf(settings)); !slices.Contains(names, name) {
		return true, fmt.Errorf("no such setting%s; there are %s", spelling.Hint(name, names), strings.Join(names, ", "))
	}
	return true, nil
}

// Engines are the schemes of the engines that have a table in the file.
func Engines() []string { return slices.Sorted(maps.Keys((&Profile{}).settings())) }

// known lists the keys that there are beside an unknown one.
func known(key []string) string {
	t := reflect.TypeFor[File]()
	for _, k := range key[:len(key)-1] {
		switch next, ok := field(t, k); {
		case ok:
			t = next
		case t.Kind() == reflect.Map:
			t = t.Elem()
		default:
			return ""
		}
	}
	if t.Kind() != reflect.Struct {
		return ""
	}
	names := keys(t)
	return spelling.Hint(key[len(key)-1], names) + "; there are " + strings.Join(names, ", ")
}

// keys are the names of a table's keys.
func keys(t reflect.Type) (names []string) {
	for f := range fields(t) {
		names = append(names, f.Tag.Get("toml"))
	}
	return names
}

func field(t reflect.Type, key string) (reflect.Type, bool) {
	if t.Kind() == reflect.Struct {
		for f := range fields(t) {
			if f.Tag.Get("toml") == key {
				return f.Type, true
			}
		}
	}
	return nil, false
}

// fields yields the fields of a table, those of embedded structs too.
func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(t) {
			if name := f.Tag.Get("toml"); name != "" && name != "-" && !yield(f) {
				return
			}
		}
	}
}

// query writes settings as an engine's URL has them; what is zero is left out.
func query(settings any) url.Values {
	q := url.Values{}
	v := reflect.ValueOf(settings)
	for f := range fields(v.Type()) {
		x := v.FieldByIndex(f.Index)
		if x.IsZero() {
			continue
		}
		if x.Kind() == reflect.Pointer {
			x = x.Elem()
		}
		if x.Kind() == reflect.Slice {
			for i := range x.Len() {
				q.Add(f.Tag.Get("toml"), x.Index(i).String())
			}
			continue
		}
		q.Set(f.Tag.Get("toml"), fmt.Sprint(x.Interface()))
	}
	return q
}
