package powercut_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-5df914be/userdata/internal/powercut"
)

// sectors makes data: each letter is a sector full of it.
func sectors(letters string) []byte {
	var b []byte
	for _, c := range []byte(letters) {
		b = append(b, strings.Repeat(string(c), 512)...)
	}
	return b
}

// tell is the reverse of sectors; a zero sector is a dot.
func tell(b []byte) string {
	var s strings.Builder
	for i := 0; i < len(b); i += 512 {
		c := b[i]
		if c == 0 {
			c = '.'
		}
		if end := min(i+512, len(b)); string(b[i:end]) != strings.Repeat(string(b[i]), end-i) {
			c = '?' // a torn sector
		}
		s.WriteByte(c)
	}
	return s.String()
}

// tellImage tells all files of an image.
func tellImage(m powercut.Image) string {
	var files []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		files = append(files, name+"="+tell(m[name]))
	}
	return strings.Join(files, " ")
}

// images returns the different images of at most n cuts.
func images(d *powercut.Disk, n int) []string {
	seen := map[string]bool{}
	for cut := range d.Cuts(n, rand.New(rand.NewPCG(1, 2))) {
		seen[tellImage(d.Image(cut))] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// write, truncate and so on are operations on file 0, by sectors.
func write(at int64, letters string) powercut.Op {
	return powercut.Op{Kind: powercut.Write, Offset: at * 512, Data: sectors(letters)}
}

func truncate(size int64) powercut.Op {
	return powercut.Op{Kind: powercut.Truncate, Size: size * 512}
}

var (
	sync     = powercut.Op{Kind: powercut.Sync}
	loseSync = powercut.Op{Kind: powercut.LoseSync}
	syncDir  = powercut.Op{Kind: powercut.SyncDir}
)

func create(id powercut.FileID, name string) powercut.Op {
	return powercut.Op{Kind: powercut.Create, File: id, Name: name}
}

func rename(name, newName string) powercut.Op {
	return powercut.Op{Kind: powercut.Rename, Name: name, NewName: newName}
}

func TestImages(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		ops  []powercut.Op
		want []string // all of them
	}{
		"a sync makes all durable": {
			ops:  []powercut.Op{write(0, "xy"), sync},
			want: []string{"f=xyc"},
		},
		"writes are there in any combination": {
			ops:  []powercut.Op{write(0, "x"), write(2, "y")},
			want: []string{"f=abc", "f=aby", "f=xbc", "f=xby"},
		},
		"of two writes to a place either may be there": {
			ops:  []powercut.Op{write(0, "x"), write(0, "y")},
			want: []string{"f=abc", "f=xbc", "f=ybc"},
		},
		"a write is torn between sectors": {
			ops:  []powercut.Op{write(0, "xyz")},
			want: []string{"f=abc", "f=abz", "f=ayc", "f=ayz", "f=xbc", "f=xbz", "f=xyc", "f=xyz"},
		},
		"only what follows a sync is undecided": {
			ops:  []powercut.Op{write(0, "x"), sync, write(1, "y")},
			want: []string{"f=xbc", "f=xyc"},
		},
		"a file that grows may have zeros": {
			ops:  []powercut.Op{write(3, "x")},
			want: []string{"f=abc", "f=abc.", "f=abcx"},
		},
		"a size may be lost": {
			ops:  []powercut.Op{truncate(1)},
			want: []string{"f=a", "f=abc"},
		},
		"a file that shrinks and grows has zeros": {
			ops:  []powercut.Op{truncate(1), truncate(2), sync},
			want: []string{"f=a."},
		},
		"a failed sync decides nothing, nor does a later one": {
			ops:  []powercut.Op{write(0, "x"), loseSync, write(1, "y"), sync},
			want: []string{"f=ayc", "f=xyc"},
		},
		"what is written again after a failed sync becomes durable": {
			ops:  []powercut.Op{write(0, "x"), loseSync, write(0, "x"), sync},
			want: []string{"f=xbc"},
		},
		"a sync of the folder says nothing of the data": {
			ops:  []powercut.Op{write(0, "x"), syncDir},
			want: []string{"f=abc", "f=xbc"},
		},
		"a new name needs a sync of the folder": {
			ops:  []powercut.Op{create(1, "g"), {Kind: powercut.Sync, File: 1}},
			want: []string{"f=abc", "f=abc g="},
		},
		"a new name is there after it": {
			ops:  []powercut.Op{create(1, "g"), syncDir},
			want: []string{"f=abc g="},
		},
		"names change in order": {
			ops:  []powercut.Op{create(1, "g"), rename("f", "h"), {Kind: powercut.Unlink, Name: "g"}},
			want: []string{"f=abc", "f=abc g=", "g= h=abc", "h=abc"},
		},
		"a rename replaces a file at once, with its data or without": {
			ops:  []powercut.Op{create(1, "g"), {Kind: powercut.Write, File: 1, Data: sectors("x")}, syncDir, rename("g", "f")},
			want: []string{"f=", "f=.", "f=abc g=", "f=abc g=.", "f=abc g=x", "f=x"},
		},
		"two names of one file have one content": {
			ops:  []powercut.Op{{Kind: powercut.Link, Name: "g"}, syncDir, write(0, "x")},
			want: []string{"f=abc g=abc", "f=xbc g=xbc"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := powercut.NewDisk(powercut.Image{"f": sectors("abc")})
			for _, op := range test.ops {
				d.Apply(op)
			}
			if diff := cmp.Diff(test.want, images(d, 300)); diff != "" {
				t.Errorf("images (-want +got):\n%s", diff)
			}
		})
	}
}

// However many operations are undecided, cuts are different, as many as asked for,
// and each leaves sectors that were there at some time.
func TestCutsAreSampled(t *testing.T) {
	t.Parallel()
	d := powercut.NewDisk(powercut.Image{"f": sectors("................................")})
	for i := range int64(30) {
		d.Apply(write(i%16*2, "xy"))
	}
	seen := map[string]bool{}
	lost, had := make([]bool, 30), make([]bool, 30)
	for cut := range d.Cuts(500, rand.New(rand.NewPCG(1, 2))) {
		if seen[cut.String()] {
			t.Fatalf("got the cut %v twice", cut)
		}
		seen[cut.String()] = true
		for i, c := range tell(d.Image(cut)["f"]) {
			if want := "xy"[i%2]; c != '.' && byte(c) != want {
				t.Fatalf("got %q in sector %d, want %q or nothing", c, i, want)
			}
			if i < len(lost) {
				lost[i] = lost[i] || c == '.'
				had[i] = had[i] || c != '.'
			}
		}
	}
	if len(seen) != 500 {
		t.Errorf("got %d cuts, want 500", len(seen))
	}
	if slices.Contains(lost, false) || slices.Contains(had, false) {
		t.Errorf("got sectors that are always there, or never: %v, %v", lost, had)
	}
}

// A clone goes its own way, and a trace shows each state once.
func TestTrace(t *testing.T) {
	t.Parallel()
	d := powercut.NewDisk(powercut.Image{"f": sectors("abc")})
	trace := powercut.Trace{Start: d.Clone(), Ops: []powercut.Op{write(0, "x"), sync, write(0, "y")}}
	d.Apply(write(0, "z"))
	var got []string
	for at, disk := range trace.Disks() {
		got = append(got, fmt.Sprint(at, " ", tell(disk.Contents("f")), " ", strings.Join(images(disk, 10), ", ")))
	}
	want := []string{"0 abc f=abc", "1 xbc f=abc, f=xbc", "2 xbc f=xbc", "3 ybc f=xbc, f=ybc"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// What is restored is verified, and a difference is found.
func TestRestoreAndVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := powercut.NewDisk(powercut.Image{"f": sectors("abc"), "old": nil})
	d.Apply(powercut.Op{Kind: powercut.Link, File: 0, Name: "g"})
	d.Apply(powercut.Op{Kind: powercut.Unlink, Name: "old"})
	d.Apply(write(0, "x"))
	for range 2 {
		if err := d.Restore(dir); err != nil {
			t.Fatal(err)
		}
		if err := d.Verify(dir); err != nil {
			t.Errorf("Verify: got %v, want nil", err)
		}
	}
	d.Apply(write(0, "y"))
	if err := d.Verify(dir); err == nil {
		t.Error("Verify with another byte in a file: got nil, want an error")
	}
	if err := (powercut.Image{"f": sectors("ybc")}).Write(dir); err != nil {
		t.Fatal(err)
	}
	if err := d.Verify(dir); err == nil {
		t.Error("Verify without one of the names: got nil, want an error")
	}
}
