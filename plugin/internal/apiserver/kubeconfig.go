// Package apiserver speaks to the Kubernetes API server: four requests, plain JSON.
//
// A client library would cost more start-up time on every pod than everything else here
// together. The connection is made at the first request, which most calls never make.
package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

// access is where the API server is and who we are to it.
type access struct {
	server *url.URL
	tls    *tls.Config
	token  string
	user   string
	pass   string
}

type kubeconfig struct {
	CurrentContext string `json:"current-context" yaml:"current-context"`
	Clusters       []struct {
		Name    string `json:"name" yaml:"name"`
		Cluster struct {
			Server        string `json:"server" yaml:"server"`
			Authority     string `json:"certificate-authority" yaml:"certificate-authority"`
			AuthorityData string `json:"certificate-authority-data" yaml:"certificate-authority-data"`
			Insecure      bool   `json:"insecure-skip-tls-verify" yaml:"insecure-skip-tls-verify"`
			ServerName    string `json:"tls-server-name" yaml:"tls-server-name"`
		} `json:"cluster" yaml:"cluster"`
	} `json:"clusters" yaml:"clusters"`
	Contexts []struct {
		Name    string `json:"name" yaml:"name"`
		Context struct {
			Cluster string `json:"cluster" yaml:"cluster"`
			User    string `json:"user" yaml:"user"`
		} `json:"context" yaml:"context"`
	} `json:"contexts" yaml:"contexts"`
	Users []struct {
		Name string `json:"name" yaml:"name"`
		User struct {
			Token           string `json:"token" yaml:"token"`
			TokenFile       string `json:"tokenFile" yaml:"tokenFile"`
			Certificate     string `json:"client-certificate" yaml:"client-certificate"`
			CertificateData string `json:"client-certificate-data" yaml:"client-certificate-data"`
			Key             string `json:"client-key" yaml:"client-key"`
			KeyData         string `json:"client-key-data" yaml:"client-key-data"`
			Username        string `json:"username" yaml:"username"`
			Password        string `json:"password" yaml:"password"`
			Exec            any    `json:"exec" yaml:"exec"`
		} `json:"user" yaml:"user"`
	} `json:"users" yaml:"users"`
}

// load reads a kubeconfig; paths in it are relative to its folder.
func load(path string) (*access, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config, err := parse(data)
	if err != nil {
		return nil, err
	}
	cluster, user, err := config.current()
	if err != nil {
		return nil, err
	}
	file := func(inline, name string) ([]byte, error) {
		switch {
		case inline != "":
			return base64.StdEncoding.DecodeString(strings.TrimSpace(inline))
		case name == "":
			return nil, nil
		case filepath.IsAbs(name):
			return os.ReadFile(name)
		}
		return os.ReadFile(filepath.Join(filepath.Dir(path), name))
	}
	return config.access(cluster, user, file)
}

// parse reads JSON, which the agent writes, and YAML, which people and other installers write.
func parse(data []byte) (*kubeconfig, error) {
	config := &kubeconfig{}
	if json.Unmarshal(data, config) == nil {
		return config, nil
	}
	config = &kubeconfig{} // of what was read before the mistake nothing may stay
	if yaml.Unmarshal(data, config) != nil {
		return nil, errors.New("it is not YAML of a kubeconfig") // the parser's text may quote a secret
	}
	return config, nil
}

func (k *kubeconfig) current() (int, int, error) {
	for _, context := range k.Contexts {
		if context.Name != k.CurrentContext {
			continue
		}
		cluster, user := -1, -1
		for i := range k.Clusters {
			if k.Clusters[i].Name == context.Context.Cluster {
				cluster = i
			}
		}
		for i := range k.Users {
			if k.Users[i].Name == context.Context.User {
				user = i
			}
		}
		if cluster < 0 {
			return 0, 0, fmt.Errorf("context %q: there is no cluster %q", context.Name, context.Context.Cluster)
		}
		return cluster, user, nil
	}
	return 0, 0, fmt.Errorf("there is no context %q, which current-context names", k.CurrentContext)
}

func (k *kubeconfig) access(cluster, user int, file func(string, string) ([]byte, error)) (*access, error) {
	place := k.Clusters[cluster].Cluster
	server, err := url.Parse(place.Server)
	if err != nil || server.Host == "" {
		return nil, fmt.Errorf("server %q is no URL", place.Server)
	}
	made := &access{server: server, tls: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: place.ServerName, InsecureSkipVerify: place.Insecure}}
	authority, err := file(place.AuthorityData, place.Authority)
	if err != nil {
		return nil, fmt.Errorf("certificate-authority: %w", err)
	}
	if authority != nil && !place.Insecure {
		made.tls.RootCAs = x509.NewCertPool()
		if !made.tls.RootCAs.AppendCertsFromPEM(authority) {
			return nil, errors.New("certificate-authority: it holds no certificate")
		}
	}
	if user < 0 {
		return made, nil
	}
	who := k.Users[user].User
	if who.Exec != nil {
		return nil, errors.New("users of kind exec are not supported on the way of a pod; use a token or a certificate")
	}
	made.user, made.pass, made.token = who.Username, who.Password, who.Token
	if who.TokenFile != "" {
		token, err := file("", who.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("tokenFile: %w", err)
		}
		made.token = strings.TrimSpace(string(token))
	}
	certificate, certErr := file(who.CertificateData, who.Certificate)
	key, keyErr := file(who.KeyData, who.Key)
	if err := errors.Join(certErr, keyErr); err != nil {
		return nil, fmt.Errorf("client certificate: %w", err)
	}
	if certificate != nil {
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}
		made.tls.Certificates = []tls.Certificate{pair}
	}
	return made, nil
}
