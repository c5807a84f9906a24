//go:build !unix

package worker

// readUmask and setUmask are nothing here.
func readUmask() int { return 0 }

func setUmask(int) {}
