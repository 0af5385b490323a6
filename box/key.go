// Package box makes keys and tunnels: NaCl boxes (X25519, XSalsa20, Poly1305) as pgnet uses them, section 4
// of its protocol.
//
// A [Key] is one side's key pair; [Key.Tunnel] joins it with the other side's public key. The agreement is
// computed once per tunnel, as it costs 77 times a sealed message. Both types may be used concurrently.
package box

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	//lint:ignore SA1019 HSalsa20 makes the shared key, and box.Precompute would repeat the agreement before it
	"golang.org/x/crypto/salsa20/salsa"

	"parlor/internal/folder"
)

// KeySize is the length of public and private keys in bytes.
const KeySize = 32

// ErrBadKey is what [Key.Tunnel] and the parsing functions return for text that is not base64 of 32 bytes,
// and for public keys of low order, such as all zeros.
var ErrBadKey = errors.New("not a usable key")

// Key is a key pair.
type Key struct {
	private *ecdh.PrivateKey
	public  string
}

// NewKey makes a random key pair.
func NewKey() (*Key, error) {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return newKey(private), nil
}

// ParseKey reads a private key from base64.
func ParseKey(text string) (*Key, error) {
	raw, err := decodeKey(text)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	private, err := ecdh.X25519().NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("private key: %w", ErrBadKey)
	}
	return newKey(private), nil
}

func newKey(private *ecdh.PrivateKey) *Key {
	return &Key{private: private, public: base64.StdEncoding.EncodeToString(private.PublicKey().Bytes())}
}

// Public is the public key in standard base64, 44 characters: what peers are sent and may pin.
func (k *Key) Public() string { return k.public }

// CheckPublic is ErrBadKey for text that is not base64 of 32 bytes.
func CheckPublic(text string) error {
	_, err := decodeKey(text)
	return err
}

// Tunnel joins this key with the other side's public key.
func (k *Key) Tunnel(public string) (*Tunnel, error) {
	raw, err := decodeKey(public)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	peer, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", ErrBadKey)
	}
	secret, err := k.private.ECDH(peer) // refuses points of low order, which box.Precompute would take
	if err != nil {
		return nil, fmt.Errorf("public key: %w", ErrBadKey)
	}
	t := &Tunnel{peer: public}
	var agreed [32]byte
	copy(agreed[:], secret)
	salsa.HSalsa20(&t.shared, new([16]byte), &agreed, &salsa.Sigma)
	return t, nil
}

func decodeKey(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != KeySize {
		return nil, ErrBadKey
	}
	return raw, nil
}

// LoadKey reads the private key from a file; a file that does not exist is made with a new key, mode 0600,
// so that a server keeps its key over restarts and clients can pin it. A file that others may read is
// refused.
func LoadKey(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createKeyFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && !looseModes {
		return nil, fmt.Errorf("key file %s may be read by others (mode %04o): chmod 600 it, or use another file",
			path, info.Mode().Perm())
	}
	k, err := ParseKey(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("key file %s is damaged: %w: restore it from a copy, or move it away to get a new key",
			path, err)
	}
	return k, nil
}

// createKeyFile writes a new key, on disk when it returns, and never over another one: clients may pin it. The
// file appears whole or not at all, but where the file system has no hard links.
func createKeyFile(path string) (*Key, error) {
	k, err := NewKey()
	if err != nil {
		return nil, err
	}
	err = k.Save(path)
	if errors.Is(err, fs.ErrExist) {
		return LoadKey(path) // another server made it at the same moment
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Save writes the private key into a file that does not exist, mode 0600, on disk when it returns. The error is fs.ErrExist if
// there is one.
func (k *Key) Save(path string) error {
	if err := k.save(path); err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	return nil
}

func (k *Key) save(path string) error {
	dir := filepath.Dir(path)
	if err := folder.Make(dir); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, ".parlor-key-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	text := base64.StdEncoding.EncodeToString(k.private.Bytes()) + "\n"
	if err = writeSynced(tmp, text); err == nil {
		err = os.Link(tmp.Name(), path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			err = writeExclusive(path, text) // no hard links there, as on FAT
		}
	}
	if err != nil {
		return err
	}
	return folder.Sync(dir)
}

// writeExclusive makes a file that does not exist, mode 0600. It is taken away again if it cannot be written;
// another server that reads it meanwhile finds it damaged.
func writeExclusive(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := writeSynced(f, text); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// writeSynced writes a file to the disk, and closes it.
func writeSynced(f *os.File, text string) error {
	_, err := f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}
