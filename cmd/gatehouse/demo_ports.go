package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// demoPorts are those of the three listeners; 0 is any that is free.
type demoPorts struct{ provider, app, api int }

func (p *demoPorts) each() []demoPort {
	return []demoPort{{"port", &p.provider}, {"app-port", &p.app}, {"api-port", &p.api}}
}

type demoPort struct {
	flag string
	port *int
}

// take takes all three ports, or says of every one that cannot be had what to do.
func (p *demoPorts) take() ([]net.Listener, error) { return takePorts(p.each()) }

// takeSamples takes those of the app and the API.
func (p *demoPorts) takeSamples() ([]net.Listener, error) { return takePorts(p.each()[1:]) }

func takePorts(ports []demoPort) ([]net.Listener, error) {
	var listeners []net.Listener
	var errs []error
	for _, one := range ports {
		l, err := takePort(*one.port, one.flag)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		listeners = append(listeners, l)
		*one.port = l.Addr().(*net.TCPAddr).Port
	}
	if len(errs) == 0 {
		return listeners, nil
	}
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return nil, errors.Join(errs...)
}

// takePort listens on loopback.
func takePort(port int, flag string) (net.Listener, error) {
	if port < 0 || port > 65535 {
		return nil, misuse("--%s is %d, which is no port", flag, port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err == nil && port != 0 && takenOnIPv6(port) {
		err = errors.Join(syscall.EADDRINUSE, l.Close())
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %d is in use by another program: stop that, or choose another port with --%s", port, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("this user may not listen on port %d: choose one from 1024 with --%s", port, flag)
	case err != nil:
		return nil, fmt.Errorf("listen on port %d: %w", port, err)
	}
	return l, nil
}

// takenOnIPv6 reports whether another program would get what browsers ask of
// localhost: they try [::1] first.
func takenOnIPv6(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("::1", strconv.Itoa(port)))
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE) // else there is no IPv6 here
	}
	l.Close()
	return false
}

func local(port int) string { return "http://localhost:" + strconv.Itoa(port) }
