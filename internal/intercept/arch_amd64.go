//go:build linux

package intercept

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// trappedHere are the older calls that this architecture has besides.
var trappedHere = []uint32{unix.SYS_RENAME, unix.SYS_LINK, unix.SYS_UNLINK}

// older returns a call of trappedHere as the newer one that it stands for.
func older(n *notification) {
	cwd := uint64(1<<64 + unix.AT_FDCWD)
	switch n.nr {
	case unix.SYS_RENAME:
		n.nr, n.args = unix.SYS_RENAMEAT2, [6]uint64{cwd, n.args[0], cwd, n.args[1]}
	case unix.SYS_LINK:
		n.nr, n.args = unix.SYS_LINKAT, [6]uint64{cwd, n.args[0], cwd, n.args[1]}
	case unix.SYS_UNLINK:
		n.nr, n.args = unix.SYS_UNLINKAT, [6]uint64{cwd, n.args[0]}
	}
}
