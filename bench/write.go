package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// write writes the report into a folder, if one is named: all of it as JSON, the
// tables as Markdown, and the ratios as a plot.
func (rep *report) write(folder string) error {
	if folder == "" {
		return nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(folder, "peers.json"), rep); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "peers.md"), []byte(rep.markdown()), 0o644); err != nil {
		return err
	}
	if !slices.ContainsFunc(rep.Results, func(res *result) bool { return res.Ratio != nil }) {
		return nil
	}
	return rep.plotRatios(filepath.Join(folder, "peers.svg"))
}

// writeJSON writes a value as indented JSON.
func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// markdown returns the report as a page.
func (rep *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# Beside its peers

Written by `+"`%s`"+`. Every peer keeps the same %s records of about 150 bytes with an index on the time, and every commit is on the disk when it
returns. %d interleaved rounds; the figures are medians, the ratios are to raw bbolt in the same round, and less is better. Every answer was checked.

![The ratios](peers.svg)

`, rep.Command, thousands(rep.Records), rep.Rounds)
	rep.Machine.markdown(&b)
	b.WriteString("\n## Userdata, raw bbolt and the goals\n\n")
	rep.summary().markdown(&b)
	b.WriteString(`
Raw bbolt encodes and decodes field by field, and the goals are compared with that. The ratio to Marshal is the one to the same program with
msgpack.Marshal and msgpack.Unmarshal, as most programs have it.
`)
	b.WriteString("\n## Cost\n\n")
	rep.costs().markdown(&b)
	b.WriteString("\n## Ratio to raw bbolt\n\n")
	rep.ratios().markdown(&b)
	b.WriteString("\n## Where userdata is behind, and what is missing\n\n")
	for _, line := range rep.remarks() {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	b.WriteString("\n## How each is used\n\n")
	for _, p := range rep.peers {
		if p.absent == "" {
			fmt.Fprintf(&b, "- %s (`%s`): %s\n", p.title, p.name, strings.ReplaceAll(p.how, "\n", " "))
		}
	}
	return b.String()
}

// markdown writes where a run was made, and of what.
func (m machine) markdown(b *strings.Builder) {
	versions := names(m.Modules, func(mod module) string { return " " + mod.Path + " " + mod.Version })
	fmt.Fprintf(b, "The machine: %s.\n\nThe modules:%s.\n", m, versions)
}

// markdown writes a table.
func (t table) markdown(b *strings.Builder) {
	line := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	line(slices.Repeat([]string{"---"}, len(t.head)))
	for _, row := range t.rows {
		line(row)
	}
}
