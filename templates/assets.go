package templates

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// An Asset is a file that pages load. Its name carries a hash of its content,
// so it may be kept for ever.
type Asset struct {
	Content []byte
	Type    string
}

// AssetPath is where the assets are, below the issuer's path.
const AssetPath = "/assets/"

var assets, assetNames = loadAssets()

func loadAssets() (map[string]Asset, map[string]string) {
	entries, err := assetFiles.ReadDir("assets")
	if err != nil {
		panic("templates: " + err.Error())
	}
	byName, names := make(map[string]Asset), make(map[string]string)
	for _, e := range entries {
		content, err := assetFiles.ReadFile("assets/" + e.Name())
		if err != nil {
			panic("templates: " + err.Error())
		}
		sum := sha256.Sum256(content)
		ext := path.Ext(e.Name())
		name := strings.TrimSuffix(e.Name(), ext) + "." + hex.EncodeToString(sum[:8]) + ext
		byName[name], names[e.Name()] = Asset{Content: content, Type: assetTypes[ext]}, name
	}
	return byName, names
}

var assetTypes = map[string]string{
	".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml",
}

// FindAsset returns the asset with this name, hash included.
func FindAsset(name string) (Asset, bool) {
	a, ok := assets[name]
	return a, ok
}

// asset is the address of a file in assets/.
func asset(ctx context.Context, file string) string {
	return at(ctx, AssetPath+assetNames[file])
}
