//go:build !android

package userdata

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// lockHolder names a process that holds the file's lock, as the kernel lists it,
// or "" if it can't tell.
func lockHolder(f *os.File) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	locks, err := os.Open("/proc/locks")
	if err != nil {
		return ""
	}
	defer locks.Close()
	major, minor := stat.Dev>>8&0xfff, stat.Dev&0xff|stat.Dev>>12&0xfff00
	id := fmt.Sprintf("%02x:%02x:%d", major, minor, stat.Ino)
	for lines := bufio.NewScanner(locks); lines.Scan(); {
		// 7: FLOCK  ADVISORY  WRITE 4711 fe:00:262146 0 EOF
		// A process that waits has an arrow in the second place.
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != id {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			return processName(pid)
		}
	}
	return ""
}

// processName tells a process by its number and its program.
func processName(pid int) string {
	if pid == os.Getpid() {
		return fmt.Sprintf("process %d, which is this one", pid)
	}
	if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil {
		return fmt.Sprintf("process %d, %s", pid, strings.TrimSpace(string(name)))
	}
	return fmt.Sprintf("process %d", pid)
}
