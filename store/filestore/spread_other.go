//go:build !linux

package filestore

func spread(string) {}
