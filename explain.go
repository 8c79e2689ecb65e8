package userdata

import (
	"fmt"
	"reflect"
	"strings"
)

// A Plan says what a query reads and what it does with that. [Query.Explain]
// makes it. The same query on the same tables has the same plan, whatever the
// file holds.
type Plan struct {
	Table string

	// Path is "key lookup" of single keys, "key range", "full scan", "index
	// lookup" of single values, "index range", "index scan" from end to end for
	// its order, "union" of several paths, or "nothing" if no record can match.
	Path string

	Index   string   // the index that is read, if one is
	Keys    []string // the keys, ranges or conditions that bound what is read, in words
	Union   []Plan   // the paths of a union
	Reverse bool     // whether keys or entries are read from the last to the first
	Filter  string   // the condition that each record read is checked for; "" if none
	Sort    string   // what is sorted in memory; "" if records come in order
	Limit   int      // -1 if there is none
	Offset  int
}

// String returns the plan on one line:
//
//	notes: key range id >= "a" and id < "b"; filter title = "x"; sort by updated desc, id; limit 20
//	notes: index range updated (updated > 2026-01-01T00:00:00Z) in reverse; limit 20
func (p Plan) String() string {
	s := p.Table + ": " + p.path()
	if p.Reverse {
		s += " in reverse"
	}
	if p.Filter != "" {
		s += "; filter " + p.Filter
	}
	if p.Sort != "" {
		s += "; sort by " + p.Sort
	}
	if p.Limit >= 0 {
		s += fmt.Sprintf("; limit %d", p.Limit)
	}
	if p.Offset > 0 {
		s += fmt.Sprintf("; offset %d", p.Offset)
	}
	return s
}

// path puts what is read in words.
func (p Plan) path() string {
	s := p.Path
	keys := strings.Join(p.Keys, ", ")
	switch {
	case p.Index != "" && keys != "":
		s += fmt.Sprintf(" %s (%s)", p.Index, keys)
	case p.Index != "":
		s += " " + p.Index
	case keys != "":
		s += " " + keys
	}
	for i, u := range p.Union {
		if i > 0 {
			s += ","
		}
		s += " " + u.path()
	}
	return s
}

// explain puts the plan in words.
func (p *plan) explain() Plan {
	out := p.paths[0].explain(p.table)
	if len(p.paths) > 1 {
		out = Plan{Path: "union"}
		for i := range p.paths {
			out.Union = append(out.Union, p.paths[i].explain(p.table))
		}
	}
	if p.need == 0 {
		out = Plan{Path: "nothing"}
	}
	out.Table, out.Reverse, out.Limit, out.Offset = p.table.name, p.reverse, p.limit, p.offset
	if len(p.where) > 0 && (len(p.paths) > 1 || !p.paths[0].exact) {
		out.Filter = p.where.String()
	}
	if !p.inOrder && out.Path != "nothing" {
		out.Sort = p.explainSort()
	}
	return out
}

// explainSort puts the order in words.
func (p *plan) explainSort() string {
	var by []string
	for _, o := range p.orders {
		by = append(by, o.col.name)
		if o.desc {
			by[len(by)-1] += " desc"
		}
	}
	last := p.table.key.name
	if p.tiesDescend() {
		last += " desc"
	}
	return strings.Join(append(by, last), ", ")
}

// explain puts a path in words, without what is done with what it leads to.
func (p *path) explain(t *table) Plan {
	if p.index != nil {
		return p.explainIndex(t)
	}
	out := Plan{Table: t.name, Path: "key range", Limit: -1}
	points := 0
	for _, r := range p.ranges {
		if _, ok := r.point(); ok {
			points++
		}
		if s := t.formatRange(r); s != "" {
			out.Keys = append(out.Keys, s)
		}
	}
	switch {
	case len(p.ranges) == 0:
		out.Path = "nothing"
	case points == len(p.ranges):
		out.Path = "key lookup"
	case p.ranges.isAll():
		out.Path = "full scan"
	}
	return out
}

func (p *path) explainIndex(t *table) Plan {
	out := Plan{Table: t.name, Path: "index range", Index: p.index.name, Limit: -1}
	switch {
	case len(p.ranges) == 0:
		out.Path, out.Index = "nothing", ""
		return out
	case len(p.used) == 0:
		out.Path = "index scan"
		return out
	case p.lookup:
		out.Path = "index lookup"
	}
	out.Keys = []string{p.conditions()}
	return out
}

// formatRange puts a range of keys in words; "" for all keys.
func (t *table) formatRange(r Range) string {
	name := t.key.name
	if key, ok := r.point(); ok {
		return fmt.Sprintf("%s = %s", name, t.formatKey(key))
	}
	var parts []string
	bound := func(key []byte, incl, excl string) {
		if n := len(key) - 1; n > 0 && key[n] == 0 && !t.isWholeKey(key) {
			key, incl = key[:n], excl
		}
		parts = append(parts, fmt.Sprintf("%s %s %s", name, incl, t.formatKey(key)))
	}
	if len(r.From) > 0 {
		bound(r.From, ">=", ">")
	}
	if r.To != nil {
		bound(r.To, "<", "<=")
	}
	return strings.Join(parts, " and ")
}

// isWholeKey reports whether a bound that ends in zero is a key as it stands,
// and not the first one after a key. Where keys have no fixed size it may be
// either; the second is what queries make.
func (t *table) isWholeKey(key []byte) bool {
	if k := t.key.codec.typ.Kind(); k == reflect.String || k == reflect.Slice {
		return false
	}
	return t.keyCodec.decode(key, t.key.codec.newValue()) == nil
}
