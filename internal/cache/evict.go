package cache

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// used notes that a file is in use.
func used(path string) {
	if info, err := os.Lstat(path); err == nil && time.Since(lastUse(info)) > Grace/10 {
		os.Chtimes(path, time.Now(), time.Time{}) // the time of change stays: records name it
	}
}

// evict removes files, the longest unused first, until those that are left and another of size bytes are within
// limit. It reports whether it removed any.
func (c *Cache) evict(size, limit int64) (removed bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	unlock, err := lock(ctx, filepath.Join(c.dir, "evict.lock"))
	if err != nil {
		return false // another process is at it
	}
	defer unlock()
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	total := size
	for _, sub := range subdirs {
		dir := filepath.Join(c.dir, sub)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() || strings.HasSuffix(e.Name(), ".lock") {
				continue
			}
			f := file{filepath.Join(dir, e.Name()), info.Size(), lastUse(info)}
			switch {
			case strings.HasSuffix(e.Name(), ".part"):
				// Somebody may be writing it; its lock tells. The directory is not searched for space for others,
				// only for what was left behind.
				if time.Since(f.used) > 24*time.Hour {
					removed = removePart(f.path) || removed
				}
			case sub == "seen":
				if time.Since(f.used) > 30*24*time.Hour {
					os.Remove(f.path)
				}
			default:
				total += f.size
				files = append(files, f)
			}
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.used.UnixNano(), b.used.UnixNano()) })
	for _, f := range files {
		if total <= limit || time.Since(f.used) < Grace {
			break
		}
		if os.Remove(f.path) == nil {
			total -= f.size
			removed = true
		}
	}
	return removed
}

// removePart removes what a killed process left, if nobody is at work on it.
func removePart(part string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	unlock, err := lock(ctx, strings.TrimSuffix(part, ".part")+".lock")
	if err != nil {
		return false
	}
	defer unlock()
	return os.Remove(part) == nil
}
