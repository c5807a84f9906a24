// Package price knows what nodes of Azure cost by the hour: the table that comes with this program, and over it what the user
// has fetched from Microsoft's public price list. A price that is in neither is not known; none is ever guessed.
//
//	t, err := price.Open()                                    // once; reads a small file
//	p, err := t.Find("westeurope", "Standard_D4s_v5")         // errors.Is(err, price.ErrUnknown)
//	perHour, err := p.Hour(2, 10)                             // 2 dedicated and 10 spot nodes: USD an hour
//	engine.Dollars(perHour * 8)                               // "3.94 USD"
//
// Prices are those of Linux, in USD, without tax, discounts, storage and traffic: an estimate, not a bill. The region of a Batch
// account is in its endpoint ([Region]).
package price

import (
	"bytes"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrUnknown: the table does not have the price. The text of an error that wraps it says how to get it.
var ErrUnknown = errors.New("the price is unknown")

//go:embed prices.csv
var embedded []byte

// A Price is what one node of a size costs by the hour in a region, in USD.
type Price struct {
	Region, Size string
	Dedicated    float64   // 0: not known
	Spot         float64   // 0: not known
	Date         time.Time // of the price list
}

// Hour is what some nodes cost together by the hour. Only prices of nodes that are asked for have to be known.
func (p Price) Hour(dedicated, spot int) (float64, error) {
	if dedicated > 0 && p.Dedicated == 0 || spot > 0 && p.Spot == 0 {
		kind := "spot"
		if dedicated > 0 && p.Dedicated == 0 {
			kind = "dedicated"
		}
		return 0, unknown(fmt.Sprintf("%s %s nodes in %s", kind, p.Size, p.Region), p.Region)
	}
	return float64(dedicated)*p.Dedicated + float64(spot)*p.Spot, nil
}

func unknown(what, region string) error {
	return fmt.Errorf("%s: %w: refresh the table (clusterless prices --refresh --region %s)", what, ErrUnknown, region)
}

// A Table has prices by region and size. It does not change, and may be used by several goroutines.
type Table struct{ rows map[key]Price }

// key has both names in small letters.
type key struct{ region, size string }

func keyOf(region, size string) key {
	return key{strings.ToLower(strings.ReplaceAll(region, " ", "")), strings.ToLower(size)}
}

// Embedded is the table that comes with the program.
func Embedded() *Table {
	t, err := parse(bytes.NewReader(embedded))
	if err != nil {
		panic("price: the embedded table: " + err.Error())
	}
	return t
}

// Open is the embedded table with what the user has refreshed of it. Of a region that was refreshed nothing embedded is left.
func Open() (*Table, error) {
	t := Embedded()
	path, err := Path()
	if err != nil {
		return t, nil // a machine without a home has refreshed nothing
	}
	mine, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fmt.Errorf("price table: %w: delete it, or refresh it (clusterless prices --refresh)", err)
	}
	return t.with(mine), nil
}

// Path is the file with the refreshed prices, in the user's cache directory. It need not be there.
func Path() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no directory for the price table: %w", err)
	}
	return filepath.Join(dir, "clusterless", "prices.csv"), nil
}

// Find is the price of a size in a region, by names as Azure has them (Standard_D4s_v5, westeurope), in any case.
func (t *Table) Find(region, size string) (Price, error) {
	p, ok := t.rows[keyOf(region, size)]
	if !ok {
		return Price{}, unknown(fmt.Sprintf("nodes %s in %s", size, region), region)
	}
	return p, nil
}

// All are the prices of a region, or of all with "", by region and size.
func (t *Table) All(region string) []Price {
	region = keyOf(region, "").region
	keys := slices.SortedFunc(maps.Keys(t.rows), func(a, b key) int {
		return strings.Compare(a.region+"/"+a.size, b.region+"/"+b.size)
	})
	var all []Price
	for _, k := range keys {
		if region == "" || k.region == region {
			all = append(all, t.rows[k])
		}
	}
	return all
}

// Regions are the names of the regions that the table has.
func (t *Table) Regions() (names []string) {
	for _, p := range t.All("") {
		if n := len(names); n == 0 || names[n-1] != p.Region {
			names = append(names, p.Region)
		}
	}
	return names
}

// with is t, with the regions of another table as they are there.
func (t *Table) with(other *Table) *Table {
	regions := other.Regions()
	rows := maps.Clone(other.rows)
	for k, p := range t.rows {
		if !slices.Contains(regions, p.Region) {
			rows[k] = p
		}
	}
	return &Table{rows}
}

// Save adds the table's regions to the user's file, in place of what it had of them.
func (t *Table) Save() (path string, err error) {
	if path, err = Path(); err != nil {
		return "", err
	}
	old, err := read(path)
	if err != nil { // there is none, or one that is damaged
		old = &Table{}
	}
	if err := old.with(t).write(path); err != nil {
		return "", fmt.Errorf("price table: %w", err)
	}
	return path, nil
}

var header = []string{"region", "size", "dedicated", "spot", "date"}

func (t *Table) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".prices-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	w := csv.NewWriter(tmp)
	w.Write(header)
	amount := func(x float64) string {
		if x == 0 {
			return ""
		}
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	for _, p := range t.All("") {
		w.Write([]string{p.Region, p.Size, amount(p.Dedicated), amount(p.Spot), p.Date.Format(time.DateOnly)})
	}
	w.Flush()
	if err := errors.Join(w.Error(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

func read(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := parse(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// parse reads the CSV form: lines with "#" in front are comments, the first other one is the header.
func parse(r io.Reader) (*Table, error) {
	c := csv.NewReader(r)
	c.Comment, c.FieldsPerRecord, c.ReuseRecord = '#', len(header), true
	first, err := c.Read()
	if err != nil {
		return nil, err
	}
	if !slices.Equal(first, header) {
		return nil, fmt.Errorf("its columns are %s, want %s", strings.Join(first, ","), strings.Join(header, ","))
	}
	t := &Table{rows: map[key]Price{}}
	for {
		row, err := c.Read()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, err
		}
		p := Price{Region: row[0], Size: row[1]}
		if p.Date, err = time.Parse(time.DateOnly, row[4]); err == nil {
			p.Dedicated, err = amount(row[2])
		}
		if err == nil {
			p.Spot, err = amount(row[3])
		}
		if line, _ := c.FieldPos(0); err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		t.rows[keyOf(p.Region, p.Size)] = p
	}
}

func amount(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	x, err := strconv.ParseFloat(s, 64)
	if err == nil && (x <= 0 || x > 1e6) {
		err = fmt.Errorf("%s USD an hour is no price", s)
	}
	return x, err
}

// Region is the region of a Batch account, as its endpoint names it: https://account.westeurope.batch.azure.com, or the host of that
// alone. It is "" for an endpoint of another form, as that of an emulator.
func Region(endpoint string) string {
	_, host, ok := strings.Cut(endpoint, "://")
	if !ok {
		host = endpoint
	}
	host, _, _ = strings.Cut(host, "/")
	parts := strings.Split(strings.ToLower(host), ".")
	if len(parts) < 4 || parts[2] != "batch" {
		return ""
	}
	return parts[1]
}
