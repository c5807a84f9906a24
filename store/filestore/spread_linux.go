package filestore

import (
	"os"

	"golang.org/x/sys/unix"
)

// spread asks the file system to place the directories in dir apart from each other (chattr +T, of ext4). It is a
// wish: whether it is granted matters to speed only.
func spread(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	const topDir = 0x00020000 // FS_TOPDIR_FL of linux/fs.h
	if flags, err := unix.IoctlGetUint32(int(d.Fd()), unix.FS_IOC_GETFLAGS); err == nil {
		unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, int(flags|topDir))
	}
}
