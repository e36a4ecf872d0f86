// Consumer reads pods' network-status as Go programs do: with the library that most of them use.
//
// It reads annotations from stdin, a JSON array of strings, and prints for each what the library
// makes of it.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	networks "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	"github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/utils"
	core "k8s.io/api/core/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func main() {
	if err := consume(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func consume() error {
	var annotations []string
	if err := json.NewDecoder(os.Stdin).Decode(&annotations); err != nil {
		return err
	}
	all := make([][]networks.NetworkStatus, 0, len(annotations))
	for _, annotation := range annotations {
		pod := core.Pod{ObjectMeta: meta.ObjectMeta{Annotations: map[string]string{networks.NetworkStatusAnnot: annotation}}}
		read, err := utils.GetNetworkStatus(&pod)
		if err != nil {
			return err
		}
		all = append(all, read)
	}
	return json.NewEncoder(os.Stdout).Encode(all)
}
