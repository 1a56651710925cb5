package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/spf13/cobra"
)

// outputFlag adds -o text|json; the function says whether JSON was asked for.
func outputFlag(cmd *cobra.Command) (asJSON func() bool) {
	var format outputFormat = "text"
	cmd.Flags().VarP(&format, "output", "o", "text or json")
	return func() bool { return format == "json" }
}

type outputFormat string

func (f *outputFormat) String() string { return string(*f) }

func (f *outputFormat) Type() string { return "format" }

func (f *outputFormat) Set(s string) error {
	if s != "text" && s != "json" {
		return fmt.Errorf("allowed: text, json")
	}
	*f = outputFormat(s)
	return nil
}

// printJSON writes v as indented JSON.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(plainJSON{w})
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printable keeps what a stranger wrote on its line, and from moving the cursor
// or turning the text around.
func printable(s string) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// plainJSON writes JSON that a terminal can be shown: encoding/json leaves the
// control characters above ASCII, and those that turn text around, as they are.
type plainJSON struct{ io.Writer }

func (w plainJSON) Write(b []byte) (int, error) {
	if !bytes.ContainsFunc(b, disturbing) {
		return w.Writer.Write(b)
	}
	var plain bytes.Buffer
	for _, r := range string(b) {
		if !disturbing(r) {
			plain.WriteRune(r)
			continue
		}
		for _, unit := range utf16.Encode([]rune{r}) {
			fmt.Fprintf(&plain, `\u%04x`, unit)
		}
	}
	if _, err := w.Writer.Write(plain.Bytes()); err != nil {
		return 0, err
	}
	return len(b), nil
}

// disturbing: what is not printed and is not the white space between JSON's own parts.
func disturbing(r rune) bool { return r > ' ' && !unicode.IsPrint(r) }

// printTable writes rows in columns, the first of them as headings.
func printTable(w io.Writer, rows ...[]any) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(t, "\t")
			}
			fmt.Fprint(t, printable(fmt.Sprint(cell)))
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}

// moment is an instant as tables show it.
func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// yes is a boolean as tables show it.
func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
