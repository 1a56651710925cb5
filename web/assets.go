package web

import (
	"net/http"
	"strconv"

	"gatehouse/templates"
)

const assetPattern = templates.AssetPath + "{name}"

// serveAsset serves a file whose name carries the hash of its content: it may
// be kept for a year, which is as long as caches keep anything.
func serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := templates.FindAsset(r.PathValue("name"))
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.Type)
	h.Set("Content-Length", strconv.Itoa(len(a.Content)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(a.Content)
}
