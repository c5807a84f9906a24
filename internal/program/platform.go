package program

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// A Platform is what an executable runs on.
type Platform struct {
	OS, Arch string
	Level    string // of the architecture, as GOAMD64 and its like have it ("v3"); "": any, or the usual
}

// levels are the variables that choose the level of an architecture.
var levels = map[string]string{"amd64": "GOAMD64", "arm64": "GOARM64", "arm": "GOARM", "386": "GO386", "ppc64": "GOPPC64", "ppc64le": "GOPPC64", "riscv64": "GORISCV64"}

// ParsePlatform reads "linux/amd64" or "linux/amd64/v3".
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(s, "/")
	if len(parts) < 2 || len(parts) > 3 || parts[0] == "" || parts[1] == "" || len(parts) == 3 && (parts[2] == "" || levels[parts[1]] == "") {
		return Platform{}, fmt.Errorf("platform %q: want GOOS/GOARCH, as linux/amd64, or with a level linux/amd64/v3", s)
	}
	return Platform{parts[0], parts[1], strings.Join(parts[2:], "")}, nil
}

// Here is the platform that this program was built for.
func Here() Platform {
	p := Platform{OS: runtime.GOOS, Arch: runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		p.Level = setting(info, levels[p.Arch])
	}
	return p
}

// String is the form that ParsePlatform reads.
func (p Platform) String() string { return strings.TrimSuffix(p.OS+"/"+p.Arch+"/"+p.Level, "/") }

// fits reports whether an executable for a platform is one for p.
func (p Platform) fits(have Platform) bool {
	return p.OS == have.OS && p.Arch == have.Arch && (p.Level == "" || p.Level == have.Level)
}

// setting is one of the settings of a build; "" if it has none of the name.
func setting(info *debug.BuildInfo, name string) string {
	for _, s := range info.Settings {
		if s.Key == name {
			return s.Value
		}
	}
	return ""
}
