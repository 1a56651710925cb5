package identity

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"strings"
	"sync"

	"github.com/FastFilter/xorfilter"
)

// common.bin is a binary-fuse filter of 49,000 common and breached passwords,
// made by gen; about one other password in 65,000 is taken for one of them.
//
//go:embed common.bin
var commonFilter []byte

var loadCommon = sync.OnceValue(func() *xorfilter.BinaryFuse[uint16] {
	f, err := xorfilter.LoadBinaryFuse[uint16](bytes.NewReader(commonFilter))
	if err != nil {
		panic("identity: common.bin is damaged: " + err.Error())
	}
	return f
})

// CommonKey is what a password is looked up by: case does not matter.
func CommonKey(password string) uint64 {
	sum := sha256.Sum256([]byte(strings.ToLower(password)))
	return binary.BigEndian.Uint64(sum[:8])
}

func common(password string) bool { return loadCommon().Contains(CommonKey(password)) }
