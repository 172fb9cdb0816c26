package repository

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"helm.sh/helm/v3/pkg/provenance"
)

// Signer is somebody with a key.
type Signer struct{ entity *openpgp.Entity }

// NewSigner makes a key.
func NewSigner(t testing.TB) *Signer {
	t.Helper()
	entity, err := openpgp.NewEntity("A Test", "", "test@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return &Signer{entity}
}

// Keyring is the public key, as gpg --export writes it.
func (s *Signer) Keyring(t testing.TB) []byte {
	t.Helper()
	var keyring bytes.Buffer
	if err := s.entity.Serialize(&keyring); err != nil {
		t.Fatal(err)
	}
	return keyring.Bytes()
}

// ArmoredKeyring is the public key, as gpg --export --armor writes it.
func (s *Signer) ArmoredKeyring(t testing.TB) []byte {
	t.Helper()
	var keyring bytes.Buffer
	w, err := armor.Encode(&keyring, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.entity.Serialize(w), w.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return keyring.Bytes()
}

// Sign makes the provenance file of an archive that has this name, as helm package --sign does.
func (s *Signer) Sign(t testing.TB, name string, archive []byte) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, archive, 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := (&provenance.Signatory{Entity: s.entity}).ClearSign(file)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(text)
}
