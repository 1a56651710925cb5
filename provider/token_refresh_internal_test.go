package provider

import (
	"bytes"
	"testing"

	"gatehouse/keys"
)

func master(t *testing.T, first ...byte) *keys.Master {
	t.Helper()
	var all [][]byte
	for _, b := range first {
		all = append(all, bytes.Repeat([]byte{b}, keys.MasterKeySize))
	}
	m, err := keys.NewMaster(all...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRefreshTokensSurviveANewMasterKey(t *testing.T) {
	before, during, after := newRefreshKeys(master(t, 1)), newRefreshKeys(master(t, 2, 1)), newRefreshKeys(master(t, 2))
	first := before.first()
	token := before.write(first, 0)
	read, ours := during.read(token)
	if !ours || read != first {
		t.Fatal("a listed key does not know its token")
	}
	old, mixed := before.successors(first), during.successors(first)
	if mixed[1] != old[0] {
		t.Error("the successor made under the old key is not found again")
	}
	if mixed[0] == mixed[1] {
		t.Error("two keys derive one successor")
	}
	if during.write(mixed[1], 1) != before.write(old[0], 0) {
		t.Error("a repeat is not byte for byte the first answer")
	}
	if _, ours := after.read(token); ours {
		t.Error("a key that is listed no more knows its token")
	}
	if mixed[0].generation != 2 || mixed[0].handle != first.handle {
		t.Errorf("the successor is %+v", mixed[0])
	}
}
