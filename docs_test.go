package userdata_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestDocumented makes sure that every exported name of the root package and of
// storetest has a comment.
func TestDocumented(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "storetest", "internal/wire"} {
		fset := token.NewFileSet()
		source := func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			info, err := e.Info()
			if err != nil || e.IsDir() || !strings.HasSuffix(e.Name(), ".go") || !source(info) {
				continue
			}
			file, err := parser.ParseFile(fset, dir+"/"+e.Name(), nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				n += checkDecl(t, fset, d)
			}
		}
		if n == 0 {
			t.Errorf("%s: no exported names found", dir)
		}
	}
}

// checkDecl reports exported names without a comment, and returns how many
// exported names there are.
func checkDecl(t *testing.T, fset *token.FileSet, d ast.Decl) (n int) {
	missing := func(name *ast.Ident, docs ...*ast.CommentGroup) {
		if !name.IsExported() {
			return
		}
		n++
		for _, doc := range docs {
			if doc.Text() != "" {
				return
			}
		}
		t.Errorf("%s: %s has no comment", fset.Position(name.Pos()), name.Name)
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || receiverIsExported(d.Recv) {
			missing(d.Name, d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				missing(spec.Name, spec.Doc, d.Doc)
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					missing(name, spec.Doc, spec.Comment, d.Doc)
				}
			}
		}
	}
	return n
}

func receiverIsExported(recv *ast.FieldList) bool {
	typ := recv.List[0].Type
	for {
		switch x := typ.(type) {
		case *ast.StarExpr:
			typ = x.X
		case *ast.IndexExpr:
			typ = x.X
		case *ast.IndexListExpr:
			typ = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return false
		}
	}
}
