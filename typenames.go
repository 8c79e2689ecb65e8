package userdata

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// A storedBinary holds what a type's MarshalBinary returned.
type storedBinary struct{ b string }

// MarshalBinary implements [encoding.BinaryMarshaler].
func (s storedBinary) MarshalBinary() ([]byte, error) { return []byte(s.b), nil }

// UnmarshalBinary implements [encoding.BinaryUnmarshaler].
func (s *storedBinary) UnmarshalBinary(b []byte) error { s.b = string(b); return nil }

// A storedText holds what a type's MarshalText returned.
type storedText struct{ s string }

// MarshalText implements [encoding.TextMarshaler].
func (s storedText) MarshalText() ([]byte, error) { return []byte(s.s), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *storedText) UnmarshalText(b []byte) error { s.s = string(b); return nil }

var (
	_ encoding.BinaryUnmarshaler = (*storedBinary)(nil)
	_ encoding.TextUnmarshaler   = (*storedText)(nil)
)

// scalarTypes are the types that a name alone stands for.
var scalarTypes = map[string]reflect.Type{
	"bool": reflect.TypeFor[bool](), "string": reflect.TypeFor[string](), "bytes": reflect.TypeFor[[]byte](),
	"int": reflect.TypeFor[int](), "int8": reflect.TypeFor[int8](), "int16": reflect.TypeFor[int16](),
	"int32": reflect.TypeFor[int32](), "int64": reflect.TypeFor[int64](),
	"uint": reflect.TypeFor[uint](), "uint8": reflect.TypeFor[uint8](), "uint16": reflect.TypeFor[uint16](),
	"uint32": reflect.TypeFor[uint32](), "uint64": reflect.TypeFor[uint64](),
	"float32": reflect.TypeFor[float32](), "float64": reflect.TypeFor[float64](),
	"time": reflect.TypeFor[time.Time](), "binary": reflect.TypeFor[storedBinary](), "text": reflect.TypeFor[storedText](),
}

// errInsideItself is the cause for a type that has itself inside.
var errInsideItself = errors.New("a type is inside itself")

// A typeParser reads the name of a type as a schema in a file spells it.
type typeParser struct {
	rest  string
	depth int
}

// typeNamed returns a Go type that is stored as the one that a schema names. A type
// that has itself inside can't be made while a program runs: then the error is
// errInsideItself.
func typeNamed(name string) (reflect.Type, error) {
	p := &typeParser{rest: name}
	t, err := p.parse()
	if err == nil && p.rest != "" {
		err = fmt.Errorf("%q follows it", p.rest)
	}
	if err != nil {
		return nil, invalidf("the type %q is not understood: %w", name, err)
	}
	return t, nil
}

// eat takes a prefix off, if it is there.
func (p *typeParser) eat(prefix string) bool {
	rest, ok := strings.CutPrefix(p.rest, prefix)
	p.rest = rest
	return ok
}

// until takes off what comes before a separator, and that.
func (p *typeParser) until(separator string) (string, error) {
	before, rest, ok := strings.Cut(p.rest, separator)
	if !ok {
		return "", fmt.Errorf("%q is missing in %q", separator, p.rest)
	}
	p.rest = rest
	return before, nil
}

// parse reads one type.
func (p *typeParser) parse() (reflect.Type, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, errTooDeep
	}
	defer func() { p.depth-- }()
	switch {
	case strings.HasPrefix(p.rest, "^"):
		return nil, errInsideItself
	case p.eat("*"):
		elem, err := p.parse()
		if err != nil {
			return nil, err
		}
		return reflect.PointerTo(elem), nil
	case p.eat("[]"):
		elem, err := p.parse()
		if err != nil {
			return nil, err
		}
		return reflect.SliceOf(elem), nil
	case p.eat("["):
		return p.array()
	case p.eat("map["):
		return p.mapping()
	case p.eat("struct{"):
		return p.structure()
	}
	end := strings.IndexAny(p.rest, ",]}")
	if end < 0 {
		end = len(p.rest)
	}
	t := scalarTypes[p.rest[:end]]
	if t == nil {
		return nil, fmt.Errorf("%q is no type", p.rest[:end])
	}
	p.rest = p.rest[end:]
	return t, nil
}

// array reads the rest of "[16]byte" or "[3]T".
func (p *typeParser) array() (reflect.Type, error) {
	text, err := p.until("]")
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > MaxValueSize {
		return nil, fmt.Errorf("%q is no length", text)
	}
	if p.eat("byte") {
		return reflect.ArrayOf(n, reflect.TypeFor[byte]()), nil
	}
	elem, err := p.parse()
	if err != nil {
		return nil, err
	}
	if size := elem.Size(); size > 0 && uintptr(n) > MaxValueSize/size {
		return nil, fmt.Errorf("%d of %s are too large", n, elem)
	}
	return reflect.ArrayOf(n, elem), nil
}

// mapping reads the rest of "map[K]V".
func (p *typeParser) mapping() (reflect.Type, error) {
	key, err := p.parse()
	if err != nil {
		return nil, err
	}
	if !p.eat("]") || !key.Comparable() {
		return nil, fmt.Errorf("%s is no key of a map", key)
	}
	elem, err := p.parse()
	if err != nil {
		return nil, err
	}
	return reflect.MapOf(key, elem), nil
}

// structure reads the rest of "struct{X int, name string}". The fields' own names
// are in their tags.
func (p *typeParser) structure() (reflect.Type, error) {
	var fields []reflect.StructField
	for {
		name, err := p.until(" ")
		if err != nil {
			return nil, err
		}
		if err := checkName(name); err != nil {
			return nil, err
		}
		t, err := p.parse()
		if err != nil {
			return nil, err
		}
		fields = append(fields, dynamicField(len(fields), t, name))
		if p.eat("}") {
			return reflect.StructOf(fields), nil
		}
		if !p.eat(", ") {
			return nil, fmt.Errorf("%q ends no field", p.rest)
		}
	}
}

// dynamicField returns a field with a tag.
func dynamicField(i int, t reflect.Type, tag string) reflect.StructField {
	return reflect.StructField{Name: "F" + strconv.Itoa(i), Type: t, Tag: reflect.StructTag("userdata:" + strconv.Quote(tag))}
}
