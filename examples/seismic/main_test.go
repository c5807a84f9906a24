package main

import (
	"bytes"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/clusterless-go/clusterless/examples/seismic/wave"
)

// program is the built example.
func program(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seismic")
	if out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return file
}

// start runs the program in a directory of its own and returns what it printed and where its files are.
func start(t *testing.T, program string, args ...string) (printed, out string) {
	t.Helper()
	out = t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, append(args, "-out", out)...)
	cmd.Env = append(os.Environ(), "CLUSTERLESS_DIR="+t.TempDir(), "CLUSTERLESS_ENGINE=")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("seismic %v: %v\n%s%s", args, err, &stdout, &stderr)
	}
	t.Logf("seismic %v printed:\n%s", args, &stdout)
	return stdout.String(), out
}

// numbers returns what the groups of the pattern match in each place of text.
func numbers(t *testing.T, pattern, text string) [][]float64 {
	t.Helper()
	var all [][]float64
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		var row []float64
		for _, group := range match[1:] {
			v, err := strconv.ParseFloat(group, 64)
			if err != nil {
				t.Fatalf("%q: %v", match[0], err)
			}
			row = append(row, v)
		}
		all = append(all, row)
	}
	return all
}

const scored = `correlation with reflectivity (\S+) \(against the mirrored section (\S+), against shifted ones at most (\S+)\)`

func picture(t *testing.T, file string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		t.Errorf("%s: %v", file, err)
		return
	}
	if size := m.Bounds().Size(); size.X < 1000 || size.Y < 400 {
		t.Errorf("%s has %d x %d pixels", file, size.X, size.Y)
	}
}

func TestMigration(t *testing.T) { migration(t) }

func migration(t *testing.T, args ...string) {
	t.Helper()
	args = append(args, "-nz", "70", "-nx", "160", "-shots", "5", "-time", "1.2", "-aperture", "1000")
	printed, out := start(t, program(t), args...)
	score := numbers(t, scored, printed)
	if len(score) != 1 || score[0][0] < 0.4 || score[0][0] < 3*max(score[0][1], score[0][2]) {
		t.Errorf("scores %v: want a correlation above 0.4 and three times the others", score)
	}
	for _, name := range []string{"velocity.png", "shot.png", "image.png"} {
		picture(t, filepath.Join(out, name))
	}
	if info, err := os.Stat(filepath.Join(out, "image.bin")); err != nil || info.Size() != 4*70*160 {
		t.Errorf("image.bin: %v, error %v, want %d bytes", info, err, 4*70*160)
	}
}

func TestInversion(t *testing.T) {
	printed, out := start(t, program(t), "-nz", "70", "-nx", "160", "-shots", "4", "-time", "1.6", "-fwi", "3")
	rows := numbers(t, `iteration +\d+: misfit (\S+) \( *(\S+) %\), velocity off by (\S+) m/s`, printed)
	if len(rows) != 4 {
		t.Fatalf("%d iterations reported, want the start and 3", len(rows))
	}
	for i := 1; i < len(rows); i++ {
		if rows[i][0] >= rows[i-1][0] {
			t.Errorf("iteration %d: the misfit went from %g to %g", i, rows[i-1][0], rows[i][0])
		}
	}
	if last := rows[3]; last[1] > 60 || last[2] > rows[0][2] {
		t.Errorf("at the end the misfit is %g %% and the velocity off by %g m/s, from %g: want less than 60 %%, and nearer", last[1], last[2], rows[0][2])
	}
	picture(t, filepath.Join(out, "fwi.png"))
}

// Marmousi is not part of this repository. The test uses the file that MARMOUSI names, or one in
// shared/marmousi next to the repository.
func TestMarmousi(t *testing.T) {
	file := os.Getenv("MARMOUSI")
	if file == "" {
		file = filepath.Join("..", "..", "..", "shared", "marmousi", "marmousi_vp_20m_176x851.bin")
	}
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Logf("did nothing: %v; set MARMOUSI to a file of 176 x 851 float32, depth fastest, at 20 m", err)
		return
	}
	if testing.Short() {
		t.Skip("takes 8 s of a core")
	}
	whole, err := wave.LoadModel(file, 176, 851, 20)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "middle.bin") // where the faults are
	if err := wave.Save(file, whole.Window(390, 570).V); err != nil {
		t.Fatal(err)
	}
	args := []string{"-model", file, "-nz", "176", "-nx", "180", "-dx", "20", "-shots", "4", "-time", "2.8", "-aperture", "1600"}
	printed, _ := start(t, program(t), args...)
	if score := numbers(t, scored, printed); len(score) != 1 || score[0][0] < 0.3 || score[0][0] < 4*max(score[0][1], score[0][2]) {
		t.Errorf("scores %v: want a correlation above 0.3 and four times the others", score)
	}
}
