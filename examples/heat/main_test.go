package main

import (
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/clusterless-go/clusterless"
)

func TestMain(m *testing.M) {
	clusterless.Init()
	os.Exit(m.Run())
}

func needMPI(t *testing.T) {
	if _, err := exec.LookPath("mpiexec"); err != nil {
		t.Skip("no mpiexec is installed: scripts/setup.sh does it")
	}
}

// plain is the same without ranks: the whole plate with its frame.
func plain(size, steps int) []float64 {
	w := size + 2
	now, next := make([]float64, w*w), make([]float64, w*w)
	for r := range size {
		for c := range size {
			now[(r+1)*w+c+1] = start((float64(c)+0.5)/float64(size), (float64(r)+0.5)/float64(size))
		}
	}
	for range steps {
		for r := 1; r <= size; r++ {
			for c := 1; c <= size; c++ {
				i := r*w + c
				next[i] = now[i] + 0.24*(now[i-1]+now[i+1]+now[i-w]+now[i+w]-4*now[i])
			}
		}
		now, next = next, now
	}
	var plate []float64
	for r := 1; r <= size; r++ {
		plate = append(plate, now[r*w+1:r*w+1+size]...)
	}
	return plate
}

// However the plate is divided, also into parts of different sizes, it warms through the same.
func TestRanksAgreeWithOneLoop(t *testing.T) {
	needMPI(t)
	s, err := clusterless.Open(t.Context(), clusterless.Dir(t.TempDir()), clusterless.Slots(4))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plate := Plate{Size: 41, Steps: 150, Shots: 2}
	for _, c := range []struct {
		ranks, nodes int
		dims         [2]int
	}{{1, 1, [2]int{1, 1}}, {3, 1, [2]int{3, 1}}, {4, 2, [2]int{2, 2}}} {
		film, err := Heat.On(s, clusterless.Ranks(c.ranks), clusterless.Nodes(c.nodes)).Call(t.Context(), plate)
		if err != nil {
			t.Fatal(err)
		}
		if film.Dims != c.dims || len(film.Shots) != 2 {
			t.Fatalf("%d ranks in %v made %d pictures, want %v and 2", c.ranks, film.Dims, len(film.Shots), c.dims)
		}
		for i, steps := range []int{0, 150} {
			if !slices.Equal(film.Shots[i], plain(plate.Size, steps)) {
				t.Errorf("%d ranks: the plate after %d steps is another than that of one loop", c.ranks, steps)
			}
		}
	}
}

func TestPicture(t *testing.T) {
	needMPI(t)
	exe, file := filepath.Join(t.TempDir(), "heat"), filepath.Join(t.TempDir(), "heat.png")
	if out, err := exec.Command("go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-ranks", "2", "-size", "60", "-steps", "200", "-o", file)
	cmd.Env = append(os.Environ(), "CLUSTERLESS_DIR="+t.TempDir(), "CLUSTERLESS_ENGINE=")
	out, err := cmd.CombinedOutput()
	if err != nil || !regexp.MustCompile(`^2 ranks in 2 x 1; mean temperature 0\.1\d+ at the beginning, 0\.\d+ at the end; see `).Match(out) {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	// The hot disc is dark red at first, and paler at the end.
	at := func(shot int) (r, g uint32) {
		r, g, _, _ = img.At(8+shot*128+36, 8+42).RGBA()
		return r >> 8, g >> 8
	}
	r0, g0 := at(0)
	_, g2 := at(2)
	if r0 < 100 || g0 > 30 || g2 < g0+20 {
		t.Errorf("the middle of the hot disc is (%d, %d, …) at first, and has green %d at the end", r0, g0, g2)
	}
}
