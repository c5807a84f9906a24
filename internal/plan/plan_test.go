package plan

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"
)

func pack(t testing.TB, items []Item, head any) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := WritePack(&b, items, head); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPackGivesBackWhatWasPut(t *testing.T) {
	var items []Item
	for i := range 300 {
		items = append(items, Item{First: 3 * i, N: 3, Meta: fmt.Appendf(nil, "meta %d", i), Data: bytes.Repeat([]byte{byte(i)}, i*7)})
	}
	b := pack(t, items, Commit{Task: 5, First: 0, End: 900})
	for name, r := range map[string]io.ReaderAt{"memory": NewBytes(b), "file": bytes.NewReader(b)} {
		p, err := OpenPack(r, int64(len(b)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var c Commit
		if err := p.Head(&c); err != nil || c.Task != 5 || c.End != 900 {
			t.Errorf("%s: head %+v, %v", name, c, err)
		}
		for i, it := range items {
			e := p.Find(3*i + 1)
			if e != i {
				t.Fatalf("%s: Find(%d) = %d, want %d", name, 3*i+1, e, i)
			}
			r, mem := p.Message(e)
			got, err := io.ReadAll(r)
			if err != nil || !bytes.Equal(got, it.Data) || mem != nil && !bytes.Equal(mem, it.Data) {
				t.Errorf("%s: message %d: %d bytes, %v; want %d", name, i, len(got), err, len(it.Data))
			}
			if off := p.Entries[e].Off; off%Align != 0 {
				t.Errorf("%s: message %d at %d", name, i, off)
			}
			if string(p.Entries[e].Meta) != string(it.Meta) {
				t.Errorf("%s: meta %q, want %q", name, p.Entries[e].Meta, it.Meta)
			}
		}
		if e := p.Find(900); e != -1 {
			t.Errorf("%s: Find past the end = %d", name, e)
		}
	}
}

func TestEveryDamagedIndexIsFound(t *testing.T) {
	b := pack(t, []Item{{First: 0, N: 1, Data: []byte("one")}, {First: 1, N: 1, Data: []byte("two")}}, struct{}{})
	for i := 192; i < len(b); i++ { // behind the messages: index and footer
		if i >= len(b)-12 && i < len(b)-8 {
			continue // the unused word
		}
		c := bytes.Clone(b)
		c[i] ^= 4
		if _, err := OpenPack(NewBytes(c), int64(len(c))); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d of %d changed: %v", i, len(b), err)
		}
	}
	for n := range len(b) {
		if _, err := OpenPack(NewBytes(b[:n]), int64(n)); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
}

func TestOutcomeGivesBackWhatWasPut(t *testing.T) {
	for _, o := range []Outcome{
		{Status: OK, Attempts: 1, Start: time.Unix(12, 34), Elapsed: time.Second},
		{Status: Panicked, Attempts: 3, Start: time.Unix(0, 0), Files: []File{{"a/b", 7, true, "jobs/x/files/1"}, {"c", 0, false, "k"}}},
	} {
		got, err := ParseOutcome(o.Meta())
		if err != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("got %+v, %v; want %+v", got, err, o)
		}
	}
}

func TestPlanRefusesRecordsThatDoNotFit(t *testing.T) {
	total := 5
	for name, rs := range map[string][]Record{
		"gap between parts":      {{Parts: []Part{{First: 1, Calls: 2}}}},
		"tasks without inputs":   {{Parts: []Part{{First: 0, Calls: 2}}, Tasks: []Tasks{{First: 1, Calls: 2, Span: 1}}}},
		"no span":                {{Parts: []Part{{First: 0, Calls: 2}}, Tasks: []Tasks{{First: 0, Calls: 2}}}},
		"fewer in all than sent": {{Parts: []Part{{First: 0, Calls: 9}}, Total: &total}},
		"inputs after the end":   {{Parts: []Part{{First: 0, Calls: 5}}, Total: &total}, {Parts: []Part{{First: 5, Calls: 1}}}},
	} {
		p := New()
		var err error
		for _, r := range rs {
			if err = p.Add(r); err != nil {
				break
			}
		}
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSpansOfTasks(t *testing.T) {
	p := New()
	if err := p.Add(Record{Parts: []Part{{First: 0, Calls: 10}}, Tasks: []Tasks{{First: 0, Calls: 7, Span: 3}, {First: 7, Calls: 3, Span: 9}}}); err != nil {
		t.Fatal(err)
	}
	want := []Span{{0, 3}, {3, 6}, {6, 7}, {7, 10}}
	if !reflect.DeepEqual(p.Spans, want) {
		t.Errorf("got %v, want %v", p.Spans, want)
	}
}

func FuzzOpenPack(f *testing.F) {
	f.Add(pack(f, []Item{{First: 0, N: 1, Data: []byte("one"), Meta: Outcome{Attempts: 1}.Meta()}}, struct{}{}))
	f.Add(pack(f, nil, Commit{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := OpenPack(NewBytes(b), int64(len(b)))
		if err != nil {
			return
		}
		for i, e := range p.Entries {
			r, _ := p.Message(i)
			io.Copy(io.Discard, r)
			ParseOutcome(e.Meta)
			ParseDeps(e.Meta)
		}
	})
}

func FuzzParseSheet(f *testing.F) {
	s := Sheet{Manifest: Manifest{Version: Version, Job: "j"}, Inline: true, Part0: []byte("part")}
	b, err := s.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) { ParseSheet(b) })
}
