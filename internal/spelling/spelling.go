// Package spelling finds the word that somebody meant.
package spelling

import "strings"

// Hint asks whether the word of words was meant that is most like word: ` (did you mean "slurm"?)`; "" if none is much like it. Two
// words are alike if one becomes the other by an edit for each three letters: a letter more, less or changed, or two neighbours swapped.
func Hint(word string, words []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, w := range words {
		if n := edits(strings.ToLower(word), strings.ToLower(w)); n < least {
			best, least = w, n
		}
	}
	if best == "" {
		return ""
	}
	return ` (did you mean "` + best + `"?)`
}

// edits is how many edits make b of a.
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			changed := last[j]
			if a[i] != b[j] {
				changed++
			}
			row[j+1] = min(changed, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
