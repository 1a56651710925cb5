package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gatehouse/cmd/gatehouse/config"
)

// A secretInput takes a secret from standard input, a file or a prompt, never
// from an argument: those are in the shell's history and the process list.
type secretInput struct {
	name  string // of the flags: client-secret
	what  string // client secret
	stdin bool
	file  string
}

// secretFlags adds --NAME-stdin and --NAME-file.
func secretFlags(cmd *cobra.Command, name, what string) *secretInput {
	s := &secretInput{name: name, what: what}
	cmd.Flags().BoolVar(&s.stdin, name+"-stdin", false, "read the "+what+" from standard input")
	cmd.Flags().StringVar(&s.file, name+"-file", "", "read the "+what+" from this `file`")
	cmd.MarkFlagsMutuallyExclusive(name+"-stdin", name+"-file")
	return s
}

// given reports whether a flag says where the secret is.
func (s *secretInput) given() bool { return s.stdin || s.file != "" }

// read returns the secret. Without a flag it asks, where there is a terminal.
func (s *secretInput) read(cmd *cobra.Command) (string, error) {
	switch {
	case s.stdin:
		return s.line(cmd.InOrStdin())
	case s.file != "":
		secret, err := config.ReadSecretFile(s.file)
		if err != nil {
			return "", fmt.Errorf("%s %w", s.file, err)
		}
		return secret.Reveal(), nil
	}
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return "", misuse("no %s was given: pipe it in with --%s-stdin, or name a file with --%[2]s-file", s.what, s.name)
	}
	return s.ask(cmd, terminal)
}

// maxSecret bounds what is read from standard input.
const maxSecret = 64 << 10

func (s *secretInput) line(in io.Reader) (string, error) {
	text, err := bufio.NewReader(io.LimitReader(in, maxSecret)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the %s from standard input: %w", s.what, err)
	}
	if text = strings.TrimRight(text, "\r\n"); text == "" {
		return "", fmt.Errorf("standard input had no %s", s.what)
	}
	return text, nil
}

// ask prompts twice, without echo.
func (s *secretInput) ask(cmd *cobra.Command, terminal *os.File) (string, error) {
	var answers [2]string
	for i, prompt := range []string{"New " + s.what + ": ", "Again: "} {
		fmt.Fprint(cmd.ErrOrStderr(), prompt)
		b, err := term.ReadPassword(int(terminal.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		if err != nil {
			return "", fmt.Errorf("read the %s: %w", s.what, err)
		}
		answers[i] = string(b)
	}
	if answers[0] != answers[1] {
		return "", errors.New("the two were not the same; nothing was changed")
	}
	return answers[0], nil
}

// confirm asks whether to do what cannot be undone; --yes answers before.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	terminal, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		return misuse("%s There is nobody to ask here: add --yes", question)
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s Type yes: ", question)
	answer, err := bufio.NewReader(terminal).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(answer) != "yes" {
		return errors.New("nothing was changed")
	}
	return nil
}
