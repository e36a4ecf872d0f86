// Package apiserver speaks to the Kubernetes API server: four requests, plain JSON.
//
// A client library would cost more start-up time on every pod than everything else here
// together. The connection is made at the first request, which most calls never make.
package apiserver

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
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
	CurrentContext string `yaml:"current-context"`
	Clusters       []struct {
		Name    string `yaml:"name"`
		Cluster struct {
			Server        string `yaml:"server"`
			Authority     string `yaml:"certificate-authority"`
			AuthorityData string `yaml:"certificate-authority-data"`
			Insecure      bool   `yaml:"insecure-skip-tls-verify"`
			ServerName    string `yaml:"tls-server-name"`
		} `yaml:"cluster"`
	} `yaml:"clusters"`
	Contexts []struct {
		Name    string `yaml:"name"`
		Context struct {
			Cluster string `yaml:"cluster"`
			User    string `yaml:"user"`
		} `yaml:"context"`
	} `yaml:"contexts"`
	Users []struct {
		Name string `yaml:"name"`
		User struct {
			Token           string `yaml:"token"`
			TokenFile       string `yaml:"tokenFile"`
			Certificate     string `yaml:"client-certificate"`
			CertificateData string `yaml:"client-certificate-data"`
			Key             string `yaml:"client-key"`
			KeyData         string `yaml:"client-key-data"`
			Username        string `yaml:"username"`
			Password        string `yaml:"password"`
			Exec            any    `yaml:"exec"`
		} `yaml:"user"`
	} `yaml:"users"`
}

// load reads a kubeconfig; paths in it are relative to its folder.
func load(path string) (*access, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config kubeconfig
	if err := yaml.Unmarshal(data, &config); err != nil {
		return nil, errors.New("it is not YAML of a kubeconfig") // the parser's text may quote a secret
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
