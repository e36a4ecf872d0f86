package config

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"mooring.dev/mooring/plugin/internal/logging"
)

// keysOf are the first arguments of the calls by which a file reads keys: r.text("name", …),
// take("logFile", …), r.raw.Find("delegates").
func keysOf(t *testing.T, file string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	ast.Inspect(parsed, func(node ast.Node) bool {
		call, is := node.(*ast.CallExpr)
		if !is || len(call.Args) == 0 || !reads(call.Fun) {
			return true
		}
		if literal, is := call.Args[0].(*ast.BasicLit); is && literal.Kind == token.STRING {
			key, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		return true
	})
	return keys
}

func reads(function ast.Expr) bool {
	switch function := function.(type) {
	case *ast.Ident:
		return function.Name == "take"
	case *ast.SelectorExpr:
		receiver, is := function.X.(*ast.Ident)
		return function.Sel.Name == "Find" || (is && receiver.Name == "r" && function.Sel.Name != "report")
	}
	return false
}

func TestTheContractListsEveryKeyThatIsRead(t *testing.T) {
	read := append(keysOf(t, "config.go"), keysOf(t, "../logging/logging.go")...)
	rotation := reflect.TypeFor[logging.Rotation]()
	for i := range rotation.NumField() {
		read = append(read, "logOptions."+rotation.Field(i).Tag.Get("json"))
	}
	if !slices.Contains(read, "delegateTimeout") || !slices.Contains(read, "logFile") || !slices.Contains(read, "delegates") {
		t.Fatalf("the reader reads keys in a way that this test does not see: %v", read)
	}
	data, err := os.ReadFile("../../contract/conf-keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var listed []struct{ Key, SetBy string }
	if err := json.Unmarshal(data, &listed); err != nil {
		t.Fatal(err)
	}
	var known []string
	for _, each := range listed {
		known = append(known, each.Key)
		if !slices.Contains(read, each.Key) {
			t.Errorf("contract/conf-keys.json lists %s, which nobody reads", each.Key)
		}
	}
	for _, key := range read {
		if !slices.Contains(known, key) {
			t.Errorf("%s is read and not listed in contract/conf-keys.json", key)
		}
	}
}
