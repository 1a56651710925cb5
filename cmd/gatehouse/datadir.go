package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"gatehouse/cmd/gatehouse/config"
	"gatehouse/keys"
)

func masterKeyPath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "master.key") }

// checkDataDir refuses a data directory in which others could put files of
// their own. It may be missing.
func checkDataDir(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("the data directory %s cannot be read: %w", path, errors.Unwrap(err))
	case !info.IsDir():
		return fmt.Errorf("the data directory %s is a file", path)
	case info.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("the data directory %s can be written by every user of this machine (mode %04o); run: chmod 700 %[1]s", path, info.Mode().Perm())
	}
	return nil
}

// readMasterKeyFile reads the generated master key: fs.ErrNotExist where there
// is none. It refuses a file that others may read, and a symbolic link, which
// says that somebody put it there for another.
func readMasterKeyFile(path string) ([][]byte, error) {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the master key %s cannot be read: %w", path, errors.Unwrap(err))
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("the master key %s is not a regular file; to keep it elsewhere, set GATEHOUSE_MASTER_KEY_FILE", path)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("the master key %s is open to others (mode %04o); run: chmod 600 %[1]s", path, info.Mode().Perm())
	}
	secret, err := config.ReadSecretFile(path)
	if err != nil {
		return nil, fmt.Errorf("the master key %s %w", path, err)
	}
	all, err := config.ParseMasterKeys(secret.Reveal())
	if err != nil {
		// Another key would not open what this one sealed.
		return nil, fmt.Errorf("the master key %s %w, or restore the file from a backup", path, err)
	}
	return all, nil
}

// masterKeys returns the master keys: of the setting, else of the file.
func masterKeys(cfg *config.Config) (*keys.Master, error) {
	all, err := config.ParseMasterKeys(cfg.MasterKey.Reveal())
	if cfg.MasterKey.IsZero() {
		all, err = readMasterKeyFile(masterKeyPath(cfg))
	}
	if err != nil {
		return nil, err
	}
	return keys.NewMaster(all...)
}

// makeMasterKey writes a new master key. The file appears whole or not at all.
func makeMasterKey(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	secret := make([]byte, keys.MasterKeySize)
	rand.Read(secret)                                           // never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".master.key-") // 0600
	if err != nil {
		return fmt.Errorf("make the master key: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(base64.StdEncoding.EncodeToString(secret) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	// A link, unlike a rename, never replaces a key that is there already.
	if err := os.Link(f.Name(), path); err != nil {
		return fmt.Errorf("write the master key: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory survive a power cut.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return nil
}
