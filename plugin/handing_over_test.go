package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What each start of the small program would pay for, in microseconds to tenths of milliseconds.
func TestTheBuildThatHandsOverHoldsNoClientAndNoRegularExpressions(t *testing.T) {
	listed, err := exec.Command("go", "list", "-deps", "-tags", "handover", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dear := range []string{"net/http", "crypto/tls", "go.yaml.in/yaml/v3", "regexp", "mooring.dev/mooring/plugin/internal/apiserver"} {
		if strings.Contains("\n"+string(listed), "\n"+dear+"\n") {
			t.Errorf("%s is linked into it", dear)
		}
	}
}
