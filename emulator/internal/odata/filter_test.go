package odata

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clusterless-go/clusterless/emulator/internal/apierror"
)

// thing has a property of each kind.
type thing struct {
	ID      string
	State   string
	Code    *int64
	Started time.Time
	Auto    bool
}

var fields = Fields[thing]{
	"id":    Text(func(t thing) string { return t.ID }),
	"state": Text(func(t thing) string { return t.State }).Only("eq", "ne"),
	"executionInfo/exitCode": Number(func(t thing) (int64, bool) {
		if t.Code == nil {
			return 0, false
		}
		return *t.Code, true
	}),
	"startTime": Time(func(t thing) time.Time { return t.Started }),
	"auto":      Bool(func(t thing) bool { return t.Auto }),
}

func TestFilter(t *testing.T) {
	zero, three := int64(0), int64(3)
	noon := time.Date(2024, 5, 6, 12, 0, 0, 123_456_700, time.UTC)
	things := []thing{
		{ID: "a", State: "active"},
		{ID: "b'c", State: "running", Started: noon, Auto: true},
		{ID: "c", State: "completed", Code: &zero, Started: noon},
		{ID: "cd", State: "completed", Code: &three, Started: noon.Add(time.Hour), Auto: true},
	}
	for _, test := range []struct{ filter, want string }{
		{"", "a b'c c cd"},
		{"state eq 'active'", "a"},
		{"state ne 'completed'", "a b'c"},
		{"'active' eq state", "a"},
		{"id eq 'b''c'", "b'c"},
		{"id gt 'b' and id lt 'cd'", "b'c c"},
		{"'c' le id", "c cd"},
		{"startswith(id,'c')", "c cd"},
		{" startswith( id , 'c' ) ", "c cd"},
		{"startswith(id,'')", "a b'c c cd"},
		{"executionInfo/exitCode eq 3", "cd"},
		{"executionInfo/exitCode eq 3L", "cd"},
		{"executionInfo/exitCode ge -1", "c cd"},
		{"executionInfo/exitCode lt 0.5", "c"},
		{"executionInfo/exitCode ne 0", "a b'c cd"},
		{"executionInfo/exitCode eq null", "a b'c"},
		{"executionInfo/exitCode ne null", "c cd"},
		{"executionInfo/exitCode lt null", ""},
		{"startTime gt DateTime'2024-05-06T12:00:00.1234567Z'", "cd"},
		{"startTime ge datetime'2024-05-06T12:00:00.1234567Z'", "b'c c cd"},
		{"startTime eq 2024-05-06T12:00:00.1234567Z", "b'c c"},
		{"startTime eq 2024-05-06T14:00:00.1234567+02:00", "b'c c"},
		{"startTime lt datetime'2024-05-06T12:30'", "b'c c"},
		{"startTime lt datetime'9999-12-31T23:59:59.9999999Z'", "b'c c cd"},
		{"startTime gt datetime'0001-01-01T00:00:00Z'", "b'c c cd"},
		{"startTime eq null", "a"},
		{"auto", "b'c cd"},
		{"not auto", "a c"},
		{"auto eq true", "b'c cd"},
		{"auto ne true", "a c"},
		{"state eq 'active' or state eq 'running' and id eq 'x'", "a"},
		{"(state eq 'active' or state eq 'running') and id ne 'a'", "b'c"},
		{"not (state eq 'active' or auto) and not startswith(id,'x')", "c"},
		{"not not auto", "b'c cd"},
	} {
		match, err := fields.Filter(test.filter)
		if err != nil {
			t.Errorf("%s: %v", test.filter, err)
			continue
		}
		var got []string
		for _, thing := range things {
			if match(thing) {
				got = append(got, thing.ID)
			}
		}
		if got := strings.Join(got, " "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.filter, got, test.want)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for _, test := range []struct{ filter, want string }{
		{"state eq", "at position 8: expected a property or a literal and found the end"},
		{"state eq 'active", "at position 9: the string has no end"},
		{"stat eq 'active'", `at position 0: "stat" is no property to filter by`},
		{"State eq 'active'", `"State" is no property`},
		{"state EQ 'active'", `at position 6: expected one of eq, ne, gt, ge, lt, le and found "EQ"`},
		{"state eq 'a' AND id eq 'b'", `at position 13: expected and, or, or the end, and found "AND"`},
		{"state ge 'active'", "at position 0: ge cannot be used with the property state"},
		{"startswith(state,'a')", "startswith cannot be used with the property state"},
		{"startswith(executionInfo/exitCode,'a')", "startswith cannot be used"},
		{"startswith(id,5)", `id is compared with "5", and is a string`},
		{"startswith(id,null)", `and is a string`},
		{"startswith(id 'a')", "expected a comma"},
		{"id startswith 'dev'", `found "startswith"`},
		{"auto gt true", "gt cannot be used"},
		{"state", "expected one of eq"},
		{"state eq active", `"active", and is a string`},
		{"state eq id", `"id", and is a string`},
		{"'a' eq 'a'", `"'a'" is no property`},
		{"executionInfo/exitCode eq '3'", "and is a number"},
		{"executionInfo/exitCode eq 3x", "3x is neither a number nor a time"},
		{"executionInfo/exitCode eq -infinity", "neither a number"},
		{"executionInfo/exitCode eq 0x10", "neither a number"},
		{"startTime gt '2024-05-06T12:00:00Z'", "and is a DateTime"},
		{"startTime gt datetime'yesterday'", `"yesterday" is no time`},
		{"startTime gt guid'00'", "no literal begins with guid"},
		{"stat eq 'a' and auto or auto", `"stat" is no property`},
		{"(stat eq 'a') or (stat eq 'b')", `"stat" is no property`},
		{"(state eq 'a'", "expected ) and found the end"},
		{"state eq 'a')", "expected and, or, or the end"},
		{"()", "expected a property"},
		{"not", "expected a property"},
		{"id eq 'ü' & auto", `unexpected character '&'`},
		{"é eq 1", `unexpected character 'é'`},
		{strings.Repeat("(", 5000), "nested more than 100 deep"},
		{strings.Repeat("not ", 5000) + "auto", "nested more than 100 deep"},
	} {
		_, err := fields.Filter(test.filter)
		if !errors.Is(err, apierror.New(apierror.InvalidQueryParameterValue)) {
			t.Errorf("%.50s: got %v, want InvalidQueryParameterValue", test.filter, err)
			continue
		}
		v := apierror.Of(err).Values
		if len(v) != 3 || v[0].Value != "$filter" || v[1].Value != test.filter || !strings.Contains(v[2].Value, test.want) {
			t.Errorf("%.50s: got %.300q, want %q", test.filter, v, test.want)
		}
	}
}

// FuzzFilter feeds the parser with anything: it must return, with a filter that runs or with an error of the right code.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"state eq 'active' and (id gt 'b''c' or not auto)", "startswith(id,'x')", "executionInfo/exitCode ne -3.5e7L",
		"startTime le DateTime'2024-05-06T12:00:00.1234567Z'", "startTime eq 2024-05-06T12:00:00Z", "((", "null eq id", "'"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		match, err := fields.Filter(src)
		if err != nil {
			if !errors.Is(err, apierror.New(apierror.InvalidQueryParameterValue)) {
				t.Errorf("%q: %v", src, err)
			}
			return
		}
		match(thing{})
		match(thing{ID: "x", State: "y", Code: new(int64), Started: time.Now(), Auto: true})
	})
}

// FuzzFilterMeaning grows a filter from the fuzzer's bytes together with what it means, and compares.
func FuzzFilterMeaning(f *testing.F) {
	f.Add([]byte{9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, "a", int64(1), true)
	f.Add([]byte{0, 3, 1, 12, 200, 31, 2, 250, 17}, "b", int64(-4), false)
	f.Fuzz(func(t *testing.T, bytes []byte, id string, code int64, auto bool) {
		it := thing{ID: id, State: "s", Code: &code, Auto: auto}
		next := func() int {
			if len(bytes) == 0 {
				return 0
			}
			b := bytes[0]
			bytes = bytes[1:]
			return int(b)
		}
		var grow func(depth int) (string, bool)
		grow = func(depth int) (string, bool) {
			switch n := next(); {
			case depth == 0 || n%6 < 3:
				lit := []string{"a", "b'", id, ""}[next()%4]
				quoted := "'" + strings.ReplaceAll(lit, "'", "''") + "'"
				num := int64(next()) - 128
				switch n % 5 {
				case 0:
					return "id gt " + quoted, id > lit && id != ""
				case 1:
					return "startswith(id," + quoted + ")", strings.HasPrefix(id, lit)
				case 2:
					return fmt.Sprintf("executionInfo/exitCode le %d", num), float64(code) <= float64(num)
				case 3:
					return fmt.Sprintf("%d lt executionInfo/exitCode", num), float64(num) < float64(code)
				default:
					return "auto eq false", !auto
				}
			case n%6 == 3:
				s, v := grow(depth - 1)
				return "not (" + s + ")", !v
			case n%6 == 4:
				a, av := grow(depth - 1)
				b, bv := grow(depth - 1)
				return "(" + a + ") and (" + b + ")", av && bv
			default:
				a, av := grow(depth - 1)
				b, bv := grow(depth - 1)
				return "(" + a + " or " + b + ")", av || bv
			}
		}
		src, want := grow(8)
		match, err := fields.Filter(src)
		if err != nil {
			t.Fatalf("%s: %v", src, err)
		}
		if got := match(it); got != want {
			t.Errorf("%s of %+v: got %v", src, it, got)
		}
	})
}

func BenchmarkFilter100k(b *testing.B) {
	things := make([]thing, 100_000)
	start := time.Now()
	for i := range things {
		things[i] = thing{ID: fmt.Sprintf("task-%06d", i), State: "completed", Code: new(int64), Started: start.Add(time.Duration(i))}
	}
	match, err := fields.Filter("state eq 'completed' and executionInfo/exitCode ne 0 and startTime ge 2020-01-01T00:00:00Z")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for i := range things {
			if match(things[i]) {
				b.Fatal(things[i])
			}
		}
	}
}
