package keys

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func master(t testing.TB, first ...byte) *Master {
	t.Helper()
	var all [][]byte
	for _, b := range first {
		all = append(all, bytes.Repeat([]byte{b}, MasterKeySize))
	}
	m, err := NewMaster(all...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestTheFirstMasterKeySealsAndEveryListedOneOpens(t *testing.T) {
	old, both, young := master(t, 1), master(t, 2, 1), master(t, 2)
	sealed := old.Seal("a", []byte("secret"))
	if got, err := both.Open("a", sealed); err != nil || string(got) != "secret" {
		t.Errorf("with both listed: %q, %v", got, err)
	}
	for name, try := range map[string]func() ([]byte, error){
		"another key":     func() ([]byte, error) { return young.Open("a", sealed) },
		"another row":     func() ([]byte, error) { return old.Open("b", sealed) },
		"cut":             func() ([]byte, error) { return old.Open("a", sealed[:len(sealed)-1]) },
		"nothing":         func() ([]byte, error) { return old.Open("a", nil) },
		"the key id only": func() ([]byte, error) { return old.Open("a", sealed[:4]) },
	} {
		if got, err := try(); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := old.Open("a", damaged); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
	if both.Seal("a", nil)[0] != young.Seal("a", nil)[0] {
		t.Error("the first does not seal")
	}
}

func TestMasterKeysStayOutOfLogs(t *testing.T) {
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "master", master(t, 'k'))
	if strings.Contains(log.String()+fmt.Sprint(slog.AnyValue(master(t, 'k')).Resolve()), "kkkk") {
		t.Errorf("the log is %s", log.String())
	}
}

func TestEachPurposeHasAKeyOfItsOwn(t *testing.T) {
	m := master(t, 1, 2)
	a, b := m.Derive("a"), m.Derive("b")
	if len(a) != 2 || len(b) != 2 || bytes.Equal(a[0], b[0]) || bytes.Equal(a[0], a[1]) || !bytes.Equal(a[1], master(t, 2).Derive("a")[0]) {
		t.Errorf("derived %x and %x", a, b)
	}
	if _, err := NewMaster([]byte("short")); err == nil {
		t.Error("a short master key is taken")
	}
}

func FuzzOpen(f *testing.F) {
	m, err := NewMaster(make([]byte, MasterKeySize))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte{})
	f.Add(m.Seal("other", []byte("x")))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plaintext, err := m.Open("aad", sealed); err == nil {
			t.Errorf("%x opens to %x", sealed, plaintext)
		}
	})
}
