// Command gen makes common.bin, the filter of common and breached passwords,
// from a JSON list of them (src/passwords.json of the npm package
// @zxcvbn-ts/language-common 4.1.3, MIT; its licence is in common.LICENSE).
//
//	go run ./identity/gen passwords.json identity/common.bin
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/FastFilter/xorfilter"

	"gatehouse/identity"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: gen LIST.json FILTER.bin")
	}
	content, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	var words []string
	if err := json.Unmarshal(content, &words); err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	keys := make([]uint64, len(words))
	for i, w := range words {
		keys[i] = identity.CommonKey(w)
	}
	filter, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return fmt.Errorf("make the filter: %w", err)
	}
	out, err := os.Create(args[1])
	if err != nil {
		return err
	}
	if err := filter.Save(out); err != nil {
		return err
	}
	return out.Close()
}
