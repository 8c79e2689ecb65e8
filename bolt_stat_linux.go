package userdata

import (
	"os"

	"golang.org/x/sys/unix"
)

// stillNamed makes sure that path leads to the open file, and returns its size. It does
// not ask for the file's times: Linux keeps those fine enough for whoever asked to see
// the next change, so that each commit's sync would have to write the inode too.
func stillNamed(f *os.File, path string) (size int64, err error) {
	var open, at unix.Statx_t
	err = unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_SIZE, &open)
	if err == unix.ENOSYS || err == unix.EPERM { // an old kernel, or a sandbox
		return stillNamedByStat(f, path)
	}
	if err != nil {
		return 0, err
	}
	err = unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO, &at)
	if err != nil || open.Ino != at.Ino || open.Dev_major != at.Dev_major || open.Dev_minor != at.Dev_minor {
		return 0, errReplaced
	}
	return int64(open.Size), nil
}
