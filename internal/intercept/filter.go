//go:build linux && (amd64 || arm64)

package intercept

import "golang.org/x/sys/unix"

// What a filter says about a call.
const (
	allow  = unix.SECCOMP_RET_ALLOW
	notify = unix.SECCOMP_RET_USER_NOTIF
	refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
	ignore = unix.SECCOMP_RET_ERRNO // with 0: the call returns 0 and does nothing
)

// Offsets in the kernel's struct seccomp_data, on a little-endian host.
const (
	offNumber = 0
	offArch   = 4
	offArgs   = 16 // 8 bytes each
)

// trapped are the calls that the handler sees, whatever their arguments are.
var trapped = append([]uint32{
	unix.SYS_PWRITE64, unix.SYS_FTRUNCATE, unix.SYS_TRUNCATE, unix.SYS_FALLOCATE,
	unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FLOCK,
	unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_UNLINKAT,
}, trappedHere...)

// refused are the calls that change files without the handler's knowledge.
var refused = []uint32{
	unix.SYS_WRITEV, unix.SYS_PWRITEV, unix.SYS_PWRITEV2, unix.SYS_COPY_FILE_RANGE,
	unix.SYS_SENDFILE, unix.SYS_SPLICE, unix.SYS_OPENAT2, unix.SYS_IO_URING_SETUP,
}

// A program is a seccomp filter under construction.
type program []unix.SockFilter

func (p *program) op(code uint16, jt, jf uint8, k uint32) {
	*p = append(*p, unix.SockFilter{Code: code, Jt: jt, Jf: jf, K: k})
}

// load puts 4 bytes of the call into the accumulator.
func (p *program) load(offset uint32) { p.op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, 0, 0, offset) }

// ret ends the program.
func (p *program) ret(action uint32) { p.op(unix.BPF_RET|unix.BPF_K, 0, 0, action) }

// onlyIf runs the instruction after it if the accumulator equals k.
func (p *program) onlyIf(k uint32) { p.op(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, 1, k) }

// on ends the program with the action for the call with this number.
func (p *program) on(number, action uint32) {
	p.onlyIf(number)
	p.ret(action)
}

// begin allows calls of other architectures and loads the number.
func (p *program) begin() {
	p.load(offArch)
	p.op(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 1, 0, auditArch)
	p.ret(allow)
	p.load(offNumber)
}

// filter notifies of the calls that change files.
func filter() []unix.SockFilter {
	var p program
	p.begin()
	for _, number := range trapped {
		p.on(number, notify)
	}
	for _, number := range refused {
		p.on(number, refuse)
	}
	p.block(unix.SYS_WRITE, func(b *program) {
		b.load(offArgs + 2*8) // the length
		b.on(8, allow)
		b.load(offArgs) // the descriptor: not the standard ones
		b.op(unix.BPF_JMP|unix.BPF_JGT|unix.BPF_K, 1, 0, 2)
		b.ret(allow)
		b.ret(notify)
	})
	p.block(unix.SYS_OPENAT, func(b *program) {
		const tmpfile = unix.O_TMPFILE &^ unix.O_DIRECTORY
		b.load(offArgs + 2*8) // the flags
		b.op(unix.BPF_JMP|unix.BPF_JSET|unix.BPF_K, 0, 1, unix.O_CREAT|unix.O_TRUNC|tmpfile)
		b.ret(notify)
		b.ret(allow)
	})
	p.block(unix.SYS_FCNTL, func(b *program) {
		b.load(offArgs + 1*8) // the command
		for _, cmd := range []uint32{unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_SETLK, unix.F_OFD_SETLKW} {
			b.on(cmd, notify)
		}
		b.ret(allow)
	})
	p.ret(allow)
	return p
}

// noSyncFilter makes syncs succeed without being done.
func noSyncFilter() []unix.SockFilter {
	var p program
	p.begin()
	p.on(unix.SYS_FSYNC, ignore)
	p.on(unix.SYS_FDATASYNC, ignore)
	p.ret(allow)
	return p
}

// block runs instructions, which end the program, for the call with this number.
func (p *program) block(number uint32, build func(*program)) {
	var b program
	build(&b)
	p.op(unix.BPF_JMP|unix.BPF_JEQ|unix.BPF_K, 0, uint8(len(b)), number)
	*p = append(*p, b...)
}
