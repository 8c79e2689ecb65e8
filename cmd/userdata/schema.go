package main

import (
	"context"
	"errors"
	"fmt"
	"go/format"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/seed-5df914be/userdata"
)

func (a *app) schema() *cobra.Command {
	var asGo, asJSON bool
	c := &cobra.Command{
		Use:   "schema [TABLE]",
		Short: "Print the columns and indexes of tables",
		Long: `Schema prints what the file says of its tables: for people, as Go declarations
that a program can open the file with, or as JSON.`,
		Example: `  userdata schema
  userdata schema userdata --go`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTables,
	}
	c.Flags().BoolVar(&asGo, "go", false, "as Go declarations")
	c.Flags().BoolVar(&asJSON, "json", false, "as JSON")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if asGo && asJSON {
			return usageError{errors.New("give --go or --json, not both")}
		}
		return a.read(cmd, func(_ context.Context, db *userdata.DB) error {
			schema := db.Schema()
			if len(args) > 0 {
				t, err := tableNamed(db, args[0])
				if err != nil {
					return err
				}
				schema = userdata.Schema{Tables: []userdata.TableSchema{t.Schema()}}
			}
			text := schema.String()
			switch {
			case asGo:
				source, err := goSource(schema)
				if err != nil {
					return err
				}
				text = source
			case asJSON:
				text = schemaJSON(schema)
			}
			_, err := fmt.Fprint(cmd.OutOrStdout(), text)
			return err
		})
	}
	return c
}

// schemaJSON returns a schema as JSON, indented.
func schemaJSON(s userdata.Schema) string {
	var b strings.Builder
	b.WriteString("[")
	for i, t := range s.Tables {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n  {\"name\": %s, \"columns\": [", appendJSONString(nil, t.Name))
		for j, c := range t.Columns {
			if j > 0 {
				b.WriteString(",")
			}
			fmt.Fprintf(&b, "\n    {\"name\": %s, \"type\": %s, \"size\": %d, \"key\": %t, \"nullable\": %t}",
				appendJSONString(nil, c.Name), appendJSONString(nil, c.Type), c.Size, c.Key, c.Nullable)
		}
		b.WriteString("\n  ], \"indexes\": [")
		for j, x := range t.Indexes {
			if j > 0 {
				b.WriteString(",")
			}
			var columns []any
			for _, name := range x.Columns {
				columns = append(columns, name)
			}
			fmt.Fprintf(&b, "\n    {\"name\": %s, \"columns\": %s, \"unique\": %t}", appendJSONString(nil, x.Name), appendJSON(nil, columns), x.Unique)
		}
		if len(t.Indexes) > 0 {
			b.WriteString("\n  ")
		}
		b.WriteString("]}")
	}
	b.WriteString("\n]\n")
	return b.String()
}

// goSource returns the Go declarations of tables.
func goSource(s userdata.Schema) (string, error) {
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n")
	if strings.Contains(s.String(), "time") {
		b.WriteString("\t\"time\"\n\n")
	}
	b.WriteString("\t\"github.com/seed-5df914be/userdata\"\n)\n")
	for _, t := range s.Tables {
		name := goName(t.Name)
		fmt.Fprintf(&b, "\n// A %s is a record of table %s.\ntype %s struct {\n", name, t.Name, name)
		seen := map[string]int{}
		for _, c := range t.Columns {
			field := goName(c.Name)
			if seen[field]++; seen[field] > 1 {
				field += strconv.Itoa(seen[field])
			}
			star := ""
			if c.Nullable {
				star = "*"
			}
			typ, note := goType(c.Type)
			fmt.Fprintf(&b, "\t%s %s%s `userdata:%s`%s\n", field, star, typ, strconv.Quote(goTag(c, t.Indexes)), note)
		}
		fmt.Fprintf(&b, "}\n\nvar %sTable = userdata.NewTable[%s](%q)\n", name, name, t.Name)
	}
	source, err := format.Source([]byte(b.String()))
	if err != nil {
		return "", fmt.Errorf("the schema has no Go form: %w", err)
	}
	out := string(source)
	if !strings.Contains(out, "time.") {
		out = strings.Replace(out, "\t\"time\"\n\n", "", 1)
	}
	return out, nil
}

// goTag returns the tag that declares a column.
func goTag(c userdata.ColumnSchema, indexes []userdata.IndexSchema) string {
	words := []string{c.Name}
	if c.Key {
		words = append(words, "key")
	}
	if c.Size > 0 {
		words = append(words, fmt.Sprintf("size=%d", c.Size))
	}
	for _, x := range indexes {
		word := "index"
		if x.Unique {
			word = "unique"
		}
		for i, name := range x.Columns {
			switch {
			case name != c.Name:
			case len(x.Columns) == 1 && x.Name == c.Name:
				words = append(words, word)
			default:
				words = append(words, fmt.Sprintf("%s=%s:%d", word, x.Name, i+1))
			}
		}
	}
	return strings.Join(words, ",")
}

// goName returns an exported Go name for the name of a table or column.
func goName(name string) string {
	var b strings.Builder
	upper := true
	for _, r := range name {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			upper = true
			continue
		case upper:
			r = unicode.ToUpper(r)
		}
		upper = false
		b.WriteRune(r)
	}
	out := b.String()
	for _, word := range []string{"Id", "Url", "Uuid"} {
		if strings.HasSuffix(out, word) {
			out = strings.TrimSuffix(out, word) + strings.ToUpper(word)
		}
	}
	if out == "" || !unicode.IsLetter([]rune(out)[0]) {
		out = "X" + out
	}
	return out
}

var (
	timeWord   = regexp.MustCompile(`\btime\b`)
	bytesWord  = regexp.MustCompile(`\bbytes\b`)
	structHead = regexp.MustCompile(`(struct\{|, )([\w.-]+) `)
	opaqueWord = regexp.MustCompile(`\b(binary|text)\b|\^`)
)

// goType returns the Go type that a schema's type is, and a comment where the
// program has to put its own in its place.
func goType(typ string) (goType, note string) {
	out := structHead.ReplaceAllStringFunc(typ, func(m string) string {
		parts := structHead.FindStringSubmatch(m)
		head := "struct{"
		if parts[1] == ", " {
			head = "; "
		}
		return head + goName(parts[2]) + " \x00" + parts[2] + "\x00"
	})
	out = timeWord.ReplaceAllString(out, "time.Time")
	out = bytesWord.ReplaceAllString(out, "[]byte")
	if opaqueWord.MatchString(out) {
		return "any", " // " + typ + ": a type of the program's own"
	}
	return fieldTags(out), ""
}

// fieldTags moves the names of a struct's fields, which stand between zero bytes,
// behind the fields' types as tags.
func fieldTags(s string) string {
	var b strings.Builder
	pending := map[int]string{} // names of the fields that are not at their end yet, by depth
	depth := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case 0:
			end := i + 1 + strings.IndexByte(s[i+1:], 0)
			pending[depth] = s[i+1 : end]
			i = end
			continue
		case '{':
			depth++
		case ';', '}':
			if name := pending[depth]; name != "" {
				fmt.Fprintf(&b, " `userdata:%q`", name)
				delete(pending, depth)
			}
			if c == '}' {
				depth--
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
