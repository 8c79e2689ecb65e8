package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// A machine says where a run was made: enough to judge its figures.
type machine struct {
	System     string   `json:"system"`
	CPU        string   `json:"cpu"`
	Cores      int      `json:"cores"`
	FileSystem string   `json:"file_system"`
	Fsync      *spread  `json:"fsync"` // of a 4 KiB write over written bytes, in nanoseconds, in all rounds
	Go         string   `json:"go"`
	Modules    []module `json:"modules"`
}

// A module is a module of this program, and the version that was run.
type module struct {
	Path    string `json:"path"`
	Version string `json:"version"`
}

// describe returns what is known of this machine. dir is where the files are.
func describe(dir string) machine {
	return machine{
		System: runtime.GOOS + "/" + runtime.GOARCH, CPU: cpuModel(), Cores: runtime.NumCPU(),
		FileSystem: fileSystem(dir), Go: runtime.Version(), Modules: modulesOf(peers),
	}
}

// String returns a line about the machine.
func (m machine) String() string {
	line := fmt.Sprintf("%s, %s, %d cores, %s, %s", m.System, m.CPU, m.Cores, m.FileSystem, m.Go)
	if m.Fsync != nil {
		line += fmt.Sprintf("; a write and fsync of 4 KiB took %s (%s … %s)", duration(m.Fsync.Median), duration(m.Fsync.Q1), duration(m.Fsync.Q3))
	}
	return line
}

// cpuModel returns the processor's name, where Linux tells it.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// fileSystem returns the type of the file system that a folder is on, where Linux
// tells it.
func fileSystem(dir string) string {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "unknown"
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	longest, found := 0, "unknown"
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/") + "/"
		if strings.HasPrefix(dir+"/", point) && len(point) >= longest {
			longest, found = len(point), fields[2]
		}
	}
	return found
}

// modulesOf returns the versions of the peers' modules in this program.
func modulesOf(peers []*peer) []module {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil
	}
	var modules []module
	for _, dep := range info.Deps {
		if !slices.ContainsFunc(peers, func(p *peer) bool { return slices.Contains(p.modules, dep.Path) }) {
			continue
		}
		version := dep.Version
		if dep.Replace != nil || dep.Path == userdataPeer.modules[0] {
			version = "as in this repository"
		}
		modules = append(modules, module{dep.Path, version})
	}
	slices.SortFunc(modules, func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	return modules
}

// fsyncs is how many writes a round times, to show how the disk was then.
const fsyncs = 40

// measureFsync times writes of 4 KiB over bytes that are on the disk already, each
// with its fsync.
func measureFsync(dir string) (samples []float64, err error) {
	f, err := os.CreateTemp(dir, "fsync")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for i := range fsyncs + 2 { // the first ones make the file
		page[0]++
		begin := time.Now()
		_, err := f.WriteAt(page, 0)
		if err := errors.Join(err, f.Sync()); err != nil {
			return nil, err
		}
		if i >= 2 {
			samples = append(samples, float64(time.Since(begin)))
		}
	}
	return samples, nil
}
