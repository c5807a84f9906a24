package spelling

import (
	"strings"
	"testing"
)

func TestHint(t *testing.T) {
	for _, test := range []struct{ word, words, want string }{
		{"slrum", "azbatch local slurm", "slurm"}, // neighbours swapped
		{"slum", "azbatch local slurm", "slurm"},
		{"locall", "azbatch local slurm", "local"},
		{"LOCAL", "azbatch local slurm", "local"},
		{"engin", "DIR ENGINE STORE", "ENGINE"},
		{"azbacht", "azbatch local slurm", "azbatch"},
		{"partion", "account partition poll", "partition"},
		{"slots", "slot lots slots", "slots"}, // the nearest
		{"s3", "azblob file gs", ""},
		{"kubernetes", "azbatch local slurm", ""},
		{"que", "qos poll", ""},
		{"", "azbatch local slurm", ""},
		{"x", "", ""},
	} {
		want := ""
		if test.want != "" {
			want = ` (did you mean "` + test.want + `"?)`
		}
		if got := Hint(test.word, strings.Fields(test.words)); got != want {
			t.Errorf("%q of %q: %q, want %q", test.word, test.words, got, want)
		}
	}
}
