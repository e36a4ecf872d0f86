package main

import (
	"context"
	"encoding/json"
	"fmt"

	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Where containerd (1.6 to 2.4) tells of CNI in the verbose status. CRI-O and cri-dockerd tell nothing of it.
const (
	infoNetworks = "cniconfig"
	infoLastLoad = "lastCNILoadStatus"
	// The network that containerd itself puts before the one of the conf folder, unless it is told not to.
	loopback = "cni-loopback"
)

// Status is what a runtime says of itself.
type Status struct {
	Version int     `json:"version"`
	Runtime Runtime `json:"runtime"`
	// NetworkReady is the CRI's condition of that name, and NetworkMessage why it is not so.
	NetworkReady   bool   `json:"networkReady"`
	NetworkMessage string `json:"networkMessage"`
	// ConfDir is the folder that the runtime reads confs from; "" where it does not tell.
	ConfDir string `json:"confDir"`
	// BinDirs are the folders in which the runtime looks for plugins; null where it does not tell.
	BinDirs []string `json:"binDirs"`
	// LastLoad is "OK" or why the conf folder could not be loaded; "" where the runtime does not tell.
	LastLoad string `json:"lastLoad"`
	// Networks are those of the conf folder that are loaded, in the order of a pod's interfaces; null where the
	// runtime does not tell, empty where none is loaded.
	Networks []Network `json:"networks"`
}

// Runtime says who answered.
type Runtime struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Network is one that is loaded.
type Network struct {
	Name       string   `json:"name"`
	CNIVersion string   `json:"cniVersion"`
	Interface  string   `json:"interface"`
	Plugins    []string `json:"plugins"`
}

// loaded is containerd's answer, as github.com/containerd/go-cni spells it.
type loaded struct {
	PluginDirs    []string
	PluginConfDir string
	Networks      []struct {
		IFName string
		Config struct {
			Name       string
			CNIVersion string
			Plugins    []struct {
				Network struct {
					Type string `json:"type"`
				}
			}
		}
	}
}

func askStatus(ctx context.Context, client runtime.RuntimeServiceClient) (any, error) {
	who, err := client.Version(ctx, &runtime.VersionRequest{})
	if err != nil {
		return nil, err
	}
	found, err := client.Status(ctx, &runtime.StatusRequest{Verbose: true})
	if err != nil {
		return nil, err
	}
	return described(who, found)
}

func described(who *runtime.VersionResponse, found *runtime.StatusResponse) (*Status, error) {
	told := &Status{
		Version:  formatVersion,
		Runtime:  Runtime{Name: who.GetRuntimeName(), Version: who.GetRuntimeVersion()},
		LastLoad: found.GetInfo()[infoLastLoad],
	}
	for _, condition := range found.GetStatus().GetConditions() {
		if condition.GetType() == runtime.NetworkReady {
			told.NetworkReady, told.NetworkMessage = condition.GetStatus(), condition.GetMessage()
		}
	}
	text, tells := found.GetInfo()[infoNetworks]
	if !tells {
		return told, nil
	}
	var said loaded
	if err := json.Unmarshal([]byte(text), &said); err != nil {
		return nil, fmt.Errorf("the runtime's list of networks (info %q) cannot be read: %w", infoNetworks, err)
	}
	told.ConfDir, told.BinDirs, told.Networks = said.PluginConfDir, said.PluginDirs, []Network{}
	for _, each := range said.Networks {
		if each.Config.Name == loopback {
			continue
		}
		network := Network{
			Name:       each.Config.Name,
			CNIVersion: each.Config.CNIVersion,
			Interface:  each.IFName,
			Plugins:    []string{},
		}
		for _, plugin := range each.Config.Plugins {
			network.Plugins = append(network.Plugins, plugin.Network.Type)
		}
		told.Networks = append(told.Networks, network)
	}
	return told, nil
}
