package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"gatehouse/cmd/gatehouse/config"
)

// healthcheckTimeout is less than what container runtimes wait by default.
const healthcheckTimeout = 5 * time.Second

func newHealthcheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "healthcheck", Short: "Ask the serve on this machine whether it is ready",
		Long:    "Asks the serve that has these settings, on this machine, whether it is ready. It\nis for the health check of a container: exit status 0 means yes, 1 means no.",
		Example: "  gatehouse healthcheck",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadSettings(cmd)
			if err != nil {
				return err
			}
			// The certificate names the public host; this asks the loopback one.
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			client := http.Client{Timeout: healthcheckTimeout, Transport: transport}
			address := readyAddress(cfg)
			response, err := client.Get(address)
			if err != nil {
				if e, ok := errors.AsType[*url.Error](err); ok {
					err = e.Err
				}
				return fmt.Errorf("%s does not answer: %w", address, err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("%s is not ready: %s", address, response.Status)
			}
			fmt.Fprintln(cmd.OutOrStdout(), "ready")
			return nil
		},
	}
}

// readyAddress is where the serve with these settings says whether it is ready.
func readyAddress(cfg *config.Config) string {
	// The settings were checked: the address has a port.
	host, port, _ := net.SplitHostPort(cfg.Listen)
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "localhost"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port), Path: "/readyz"}
	if cfg.TLS.Cert != "" {
		u.Scheme = "https"
	}
	return u.String()
}
