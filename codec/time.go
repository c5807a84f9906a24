package codec

import (
	"encoding/binary"
	"reflect"
	"time"
	"unsafe"
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	locationType = reflect.TypeFor[*time.Location]()
)

// zone is how the location of a time travels.
type zone struct {
	kind   byte
	name   string // of the location
	abbrev string // in use at the time
	offset int32  // seconds east of UTC, at the time

	loc   *time.Location // reader: what name stands for here, nil if nothing
	fixed *time.Location // reader: always at offset
}

const (
	zoneUTC   = 1 // no further data
	zoneLocal = 2 // the local zone of the sender
	zoneNamed = 3 // a zone of the time zone database
	zoneFixed = 4 // always at one offset
)

// zoneOf describes loc, as it is at time t.
func zoneOf(loc *time.Location, t time.Time) zone {
	abbrev, offset := t.In(loc).Zone()
	z := zone{abbrev: abbrev, offset: int32(offset), name: loc.String()}
	switch {
	case loc == time.UTC:
		return zone{kind: zoneUTC}
	case loc == time.Local:
		z.kind = zoneLocal
	case isFixed(loc):
		z.kind = zoneFixed
	default:
		z.kind = zoneNamed
	}
	return z
}

// isFixed reports whether loc was made by time.FixedZone. Its name may also be that of a zone with summer time
// (CET), so the name alone does not tell.
func isFixed(loc *time.Location) bool {
	v := reflect.ValueOf(loc).Elem()
	zones, extend := v.FieldByName("zone"), v.FieldByName("extend")
	return zones.IsValid() && zones.Kind() == reflect.Slice && zones.Len() <= 1 &&
		extend.IsValid() && extend.Kind() == reflect.String && extend.Len() == 0
}

func (s *enc) time(v unsafe.Pointer) {
	t := *(*time.Time)(v)
	s.buf = binary.LittleEndian.AppendUint64(s.buf, uint64(t.Unix()))
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(t.Nanosecond()))
	s.zone(zoneOf(t.Location(), t))
}

// zone writes the number of a zone, and on its first use what it is.
func (s *enc) zone(z zone) {
	if z.kind == zoneUTC {
		s.uvarint(tokNil)
		return
	}
	num, known := s.zones[z]
	if known {
		s.uvarint(uint64(num) + tokKnown)
		return
	}
	if s.zones == nil {
		s.zones = map[zone]uint32{}
	}
	s.zones[z] = uint32(len(s.zones))
	s.uvarint(tokNew)
	s.uvarint(uint64(z.kind))
	s.text(z.name)
	s.text(z.abbrev)
	s.buf = binary.LittleEndian.AppendUint32(s.buf, uint32(z.offset))
}

func (d *dec) time(v unsafe.Pointer) {
	b := d.take(12)
	sec, nsec := int64(binary.LittleEndian.Uint64(b)), binary.LittleEndian.Uint32(b[8:])
	if nsec >= 1e9 {
		d.corrupt("%d nanoseconds", nsec)
	}
	t := time.Unix(sec, int64(nsec))
	if sec == zeroTime && nsec == 0 {
		t = time.Time{} // the wall clock of an exact zero, too, so that == holds
	}
	z := d.zone()
	if z == nil {
		*(*time.Time)(v) = t.UTC()
		return
	}
	*(*time.Time)(v) = t.In(z.at(t))
}

var zeroTime = time.Time{}.Unix()

// at returns the location to use for t: the named one if it is known here and agrees with the sender about t,
// else one that is always at the sender's offset.
func (z *zone) at(t time.Time) *time.Location {
	if z.loc != nil {
		if _, offset := t.In(z.loc).Zone(); int32(offset) == z.offset {
			return z.loc
		}
	}
	return z.fixed
}

func (d *dec) zone() *zone {
	tok := d.uvarint()
	switch {
	case tok == tokNil:
		return nil
	case tok != tokNew && tok-tokKnown < uint64(len(d.zones)):
		return &d.zones[tok-tokKnown]
	case tok != tokNew:
		d.corrupt("zone %d of %d", tok-tokKnown, len(d.zones))
	}
	z := zone{kind: byte(d.uvarint()), name: d.text(), abbrev: d.text()}
	z.offset = int32(binary.LittleEndian.Uint32(d.take(4)))
	name := z.abbrev
	switch z.kind {
	case zoneLocal:
		z.loc = time.Local
	case zoneNamed:
		if z.name == "" || z.name == "Local" || len(z.name) > 64 {
			d.corrupt("a zone named %q", clip(z.name))
		}
		if loc, err := time.LoadLocation(z.name); err == nil {
			z.loc = loc
		}
	case zoneFixed:
		name = z.name
	default:
		d.corrupt("zone of kind %d", z.kind)
	}
	z.fixed = time.FixedZone(name, int(z.offset))
	d.zones = append(d.zones, z)
	return &d.zones[len(d.zones)-1]
}

// location writes a *time.Location of its own, as it is at the epoch.
func (s *enc) location(v unsafe.Pointer) {
	loc := *(**time.Location)(v)
	if loc == nil {
		s.uvarint(tokNil)
		return
	}
	s.uvarint(tokNew)
	s.zone(zoneOf(loc, time.Unix(0, 0)))
}

func (d *dec) location(v unsafe.Pointer) {
	to := (**time.Location)(v)
	switch d.uvarint() {
	case tokNil:
		*to = nil
	case tokNew:
		if z := d.zone(); z == nil {
			*to = time.UTC
		} else {
			*to = z.at(time.Unix(0, 0))
		}
	default:
		d.corrupt("no location")
	}
}
