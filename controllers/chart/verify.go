package chart

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp"
	"helm.sh/helm/v3/pkg/provenance"

	"iter8.tools/operator/controllers/chart/store"
)

// maxProvenance is the size of a provenance file: a Chart.yaml, a digest and a signature.
const maxProvenance = 256 << 10

// verify tells what is against an archive that is said to be a version of a chart: it must stand in the provenance
// file with its digest, and that must be signed with a key of the keyring. Helm does it, with files.
func verify(cache *store.Store, keyring []byte, name, version string, archive, prov io.Reader) error {
	keys, err := readKeyring(keyring)
	if err != nil {
		return fmt.Errorf("%w: %s of spec.chart.verify.keyringSecretRef holds no public keys as gpg --export writes them", ErrInvalidSecret, keyringKey)
	}
	dir, err := cache.Scratch()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what stays is removed at the next start
	file := filepath.Join(dir, filepath.Base(name+"-"+version+".tgz"))
	for path, content := range map[string]io.Reader{file: archive, file + ".prov": prov} {
		if err := write(path, content); err != nil {
			return fmt.Errorf("%w: %s can't be written to check its signature", ErrCacheUnavailable, filepath.Base(path))
		}
	}
	if _, err := (&provenance.Signatory{KeyRing: keys}).Verify(file, file+".prov"); err != nil {
		return fmt.Errorf("%w: %s %s: its provenance file doesn't hold a valid signature, of this archive, by a key of the Secret that spec.chart.verify names", ErrUnverified, name, version)
	}
	return nil
}

func readKeyring(keyring []byte) (openpgp.EntityList, error) {
	if bytes.HasPrefix(bytes.TrimSpace(keyring), []byte("-----BEGIN")) {
		return openpgp.ReadArmoredKeyRing(bytes.NewReader(keyring))
	}
	return openpgp.ReadKeyRing(bytes.NewReader(keyring))
}

func write(path string, content io.Reader) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
