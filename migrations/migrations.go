// Package migrations holds the steps of the schema, forward only, one file
// for both databases. It knows nothing else.
package migrations

import "embed"

// Files are the steps, NNNN_name.sql, in goose's form.
//
//go:embed *.sql
var Files embed.FS
